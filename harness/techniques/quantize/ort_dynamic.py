"""Dynamic int8 for ONNX Runtime: weights in int8 on disk, activations quantized as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision.onnx import report
from harness.formats.onnx import graph as onnx_graph
from harness.techniques.quantize.ranges import resolve_range, weights_in_words
from harness.techniques.registry import BuildContext, StepConfig, transform


class DynamicQuantize(StepConfig):
    """No calibration data; ranges of activations are taken from each batch while it runs."""

    method: Literal["dynamic"] = "dynamic"
    dtype: Literal["int8", "uint8"] = "int8"
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"
    )
    operators: tuple[Literal["MatMul", "Conv"], ...] = Field(
        default=("MatMul", "Conv"), min_length=1, description="Gemm is rewritten to MatMul and counts as it"
    )


@transform(
    "quantize",
    DynamicQuantize,
    select=("method", "dynamic"),
    takes=(onnx_graph.FORMAT,),
    yields=onnx_graph.FORMAT,
    summary="int8 weights, activations quantized at run time (ONNX Runtime)",
    packages=("onnxruntime", "onnx"),
    devices=("cpu",),
    resolve=resolve_range,
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
)
def quantize_dynamic(
    config: DynamicQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Rewrite the graph with ONNX Runtime's quantizer and report what it quantized."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    from harness.techniques.quantize.probing import check_runs
    from harness.techniques.quantize.ranges import quiet_quantizer

    reduce = resolve_range(config, context.target, context.cpu_features)["reduce_range"]
    before = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    made = out / onnx_graph.MODEL
    copy = onnx.ModelProto()  # given a path, the quantizer writes into its folder, which is the parent's
    copy.CopyFrom(before)
    try:
        with quiet_quantizer():
            quantize(
                copy,
                str(made),
                op_types_to_quantize=list(config.operators),
                per_channel=config.per_channel,
                reduce_range=reduce,
                weight_type=QuantType.QInt8 if config.dtype == "int8" else QuantType.QUInt8,
            )
    except Exception as error:  # the quantizer has no errors of its own
        raise BuildError(f"onnxruntime's quantizer failed: {type(error).__name__}: {error}") from error
    details = report(onnx_graph.load_checked(made), before, integer=True)
    check_runs(made, context.inputs, onnx_graph.fixed_batch(before) or 1)
    weights = weights_in_words(config, reduce, context.target, context.cpu_features)
    scales = "a channel" if config.per_channel else "a tensor"
    return {
        **details,
        "reduced_range": reduce,
        "compute_dtype": f"uint8 × {config.dtype}, one weight scale {scales}; {weights}",
    }
