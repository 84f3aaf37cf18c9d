"""Weight-only int2, int4, int8 for ONNX Runtime: MatMulNBits, weights in blocks with one scale each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.formats.low_precision.onnx import report
from harness.formats.onnx.rewriting import gemm_to_matmul
from harness.formats.onnx.structure import complete
from harness.techniques.blame import Excluding, check_excluded
from harness.techniques.quantize.ort_library import GRAPH, quantizing, save_checked
from harness.techniques.quantize.ort_preparation import prepared
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx


_DOUBLE = 11  # onnx.TensorProto's number of float64, for which MatMulNBits has no kernel
BITS = {"int2": 2, "int4": 4, "int8": 8}


class WeightOnlyQuantize(Excluding):
    """Weights of matrix products in 2, 4 or 8 bits; activations stay in float."""

    method: Literal["weight-only"] = "weight-only"
    dtype: Literal["int2", "int4", "int8"] = "int4"
    block_size: Literal[16, 32, 64, 128, 256] = Field(
        default=32, description="weights along the depth of a product that share a scale"
    )
    symmetric: bool = Field(default=True, description="no zero point: the range is the same on both sides")
    compute: Literal["float32", "int8"] = Field(
        default="float32", description="int8: activations are rounded to 8 bits for each product"
    )

    @model_validator(mode="after")
    def _has_a_kernel(self) -> WeightOnlyQuantize:
        if (self.dtype, self.compute) == ("int2", "int8") and self.block_size in (16, 256):
            raise ValueError("compute: int8 with int2 takes blocks of 32, 64 or 128; others stay in float")
        return self


@transform(
    "quantize",
    WeightOnlyQuantize,
    select=("method", "weight-only"),
    summary="int2, int4 or int8 weights in blocks, activations in float: MatMulNBits (ONNX Runtime)",
    **{**GRAPH, "packages": ("onnxruntime", "onnx", "onnx-ir")},
)
def quantize_weight_only(
    config: WeightOnlyQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Rewrite Gemm to MatMul and MatMul to MatMulNBits, and report what was quantized."""
    with prepared(source) as given:
        check_excluded(config.exclude, [node.name for node in given.model.graph.node])
        model = given.copy()
    rewritten = gemm_to_matmul(model)
    model = complete(_quantized(model, config), given.model)
    details = report(model, given.model)
    save_checked(model, out, context)
    compute_dtype = f"{config.compute} × {config.dtype} in blocks of {config.block_size}"
    return {**details, **given.notes, "compute_dtype": compute_dtype, "rewritten_gemm": rewritten}


def _quantized(model: onnx.ModelProto, config: WeightOnlyQuantize) -> onnx.ModelProto:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    bits = BITS[config.dtype]
    double = {tensor.name for tensor in model.graph.initializer if tensor.data_type == _DOUBLE}
    unfit = [node.name for node in model.graph.node if double & {*node.input}]
    with quantizing(f"onnxruntime cannot quantize to {bits} bits"):  # older releases raise AssertionError
        quantizer = MatMulNBitsQuantizer(
            model,
            bits=bits,
            block_size=config.block_size,
            is_symmetric=config.symmetric,
            nodes_to_exclude=[*config.exclude, *unfit],
            accuracy_level=4 if config.compute == "int8" else None,
        )
        quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result
