"""Dynamic int8 for ONNX Runtime: weights in int8 on disk, activations quantized at run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.low_precision.onnx import report
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import complete
from harness.techniques.quantize.ort_library import GRAPH, quantizing, save_checked
from harness.techniques.quantize.ort_preparation import prepared
from harness.techniques.quantize.ranges import ReducedWeights, is_reduced, resolve_range, weights_in_words
from harness.techniques.registry import BuildContext, StepConfig, transform


class DynamicQuantize(StepConfig):
    """No calibration data: the ranges of activations are taken from each batch at run time."""

    method: Literal["dynamic"] = "dynamic"
    dtype: Literal["int8", "uint8"] = "int8"
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: ReducedWeights = "auto"
    operators: tuple[Literal["MatMul", "Conv"], ...] = Field(
        default=("MatMul", "Conv"), min_length=1, description="Gemm is rewritten to MatMul and counts as one"
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
    with prepared(source) as (path, preparation):
        before = onnx_graph.load_checked(path)
        made = path.with_name("quantized.onnx")
        with quantizing():
            quantize(
                path,
                made,
                op_types_to_quantize=list(config.operators),
                per_channel=config.per_channel,
                reduce_range=reduce,
                weight_type=QuantType.QInt8 if config.dtype == "int8" else QuantType.QUInt8,
                use_external_data_format=True,
            )
        model = complete(onnx.load(str(made)), before)
    details = report(model, before, integer=True)
    save_checked(model, out, context)
    scales = "channel" if config.per_channel else "tensor"
    return {
        **details,
        **preparation,
        "reduced_range": reduce,
        "compute_dtype": f"uint8 × {config.dtype}, one weight scale per {scales}; "
        + weights_in_words(config, context),
    }
