"""Dynamic int8 for ONNX Runtime: weights in int8 on disk, activations quantized at run time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.low_precision.onnx import report
from harness.formats.onnx.rewriting import gemm_to_matmul
from harness.formats.onnx.structure import complete
from harness.techniques.blame import Excluding
from harness.techniques.quantize.ort_library import GRAPH, quantizing, save_checked
from harness.techniques.quantize.ort_preparation import prepared
from harness.techniques.quantize.ranges import ReducedWeights, is_reduced, resolve_range, weights_in_words
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx

Operator = Literal["MatMul", "Conv", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"]


class DynamicQuantize(Excluding):
    """No calibration data: the ranges of activations are taken from each batch at run time."""

    version: ClassVar[int] = 2  # which takes Gather, LSTM, Attention and EmbedLayerNormalization by default

    method: Literal["dynamic"] = "dynamic"
    dtype: Literal["int8", "uint8"] = "int8"
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: ReducedWeights = "auto"
    operators: tuple[Operator, ...] = Field(
        default=("MatMul", "Conv", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"),
        min_length=1,
        description="Gemm is rewritten to MatMul and counts as one; of Gather, tables (embeddings)",
    )


@transform(
    "quantize",
    DynamicQuantize,
    select=("method", "dynamic"),
    summary="int8 weights, activations quantized at run time (ONNX Runtime)",
    resolve=resolve_range,
    **GRAPH,
)
def quantize_dynamic(
    config: DynamicQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Rewrite the graph with ONNX Runtime's quantizer and report what it quantized."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    reduce = is_reduced(config, context)
    with prepared(source, config) as given:
        model = given.copy()
        gemm_to_matmul(model)
        made = given.path.with_name("quantized.onnx")
        with quantizing():
            quantize(
                model,
                made,
                op_types_to_quantize=list(config.operators),
                nodes_to_exclude=[*config.exclude, *_unfit(model)],
                per_channel=config.per_channel,
                reduce_range=reduce,
                weight_type=QuantType.QInt8 if config.dtype == "int8" else QuantType.QUInt8,
                use_external_data_format=True,
            )
        model = complete(onnx.load(str(made)), model)
    details = report(model, given.model, integer=True)
    save_checked(model, out, context)
    scales = "channel" if config.per_channel else "tensor"
    return {
        **details,
        **given.notes,
        "reduced_range": reduce,
        "compute_dtype": f"uint8 × {config.dtype}, one weight scale per {scales}; "
        + weights_in_words(config, context),
    }


_CONSTANT = {"Attention": slice(1, 3), "EmbedLayerNormalization": slice(2, 7)}
"""Inputs that the quantizer takes for constants."""
_ATTENTION_INPUTS = 5
"""QAttention takes input, weights, bias, mask and past, and none of Attention's further inputs."""


def _unfit(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes on which the quantizer fails, or which then compute something else.

    These are LSTMs that share a weight, whose shape the quantizer changes in place; standard Attention,
    whose inputs are others than ONNX Runtime's; and those that read activations where it needs constants.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    read = Counter(name for node in model.graph.node for name in {*node.input})
    return [
        node.name
        for node in model.graph.node
        if (node.op_type == "LSTM" and any(read[name] > 1 for name in node.input[1:3]))
        or (node.op_type in _CONSTANT and not constants >= {*node.input[_CONSTANT[node.op_type]]})
        or (node.op_type == "Attention" and (not node.domain or any(node.input[_ATTENTION_INPUTS:])))
    ]
