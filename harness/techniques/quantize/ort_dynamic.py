"""Dynamic int8 for ONNX Runtime: weights in int8 on disk, activations quantized as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts import onnx_graph
from harness.artifacts.artifact import Artifact
from harness.techniques.quantize.counting import report
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
        default=("MatMul", "Conv"), description="Gemm is rewritten to MatMul and counts as it"
    )


@transform(
    "quantize",
    DynamicQuantize,
    select=("method", "dynamic"),
    takes=(onnx_graph.FORM,),
    yields=onnx_graph.FORM,
    summary="int8 weights, activations quantized at run time (ONNX Runtime)",
    packages=("onnxruntime", "onnx"),
    devices=("cpu",),
    specialises=("machine",),
    keeps=("parameters", "nonzero_parameters", "flops_per_item"),
    version=2,
)
def quantize_dynamic(
    config: DynamicQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Rewrite the graph with ONNX Runtime's quantizer and report what it quantized."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    from harness.techniques.quantize.ranges import needs_reduced_range, quiet_quantizer

    reduce = needs_reduced_range(context) if config.reduce_range == "auto" else config.reduce_range
    with quiet_quantizer():
        quantize(
            str(source.file(onnx_graph.MODEL)),
            str(out / onnx_graph.MODEL),
            op_types_to_quantize=list(config.operators),
            per_channel=config.per_channel,
            reduce_range=reduce,
            weight_type=QuantType.QInt8 if config.dtype == "int8" else QuantType.QUInt8,
        )
    model = onnx_graph.load_checked(out / onnx_graph.MODEL)
    details = report(model, onnx_graph.load_checked(source.file(onnx_graph.MODEL)))
    return {**details, "reduced_range": reduce}
