"""What really got quantized: counted in the graph that is measured, never assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.artifacts import onnx_graph
from harness.errors import BuildError

if TYPE_CHECKING:
    import onnx

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_INTEGER = (
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "MatMulNBits",
)


def report(model: onnx.ModelProto) -> dict[str, Any]:
    """Count weighted operators in integers and in float, quantize/dequantize nodes, and weight bytes.

    An operator of a QDQ graph counts as integer when both its data and its weight come from a
    DequantizeLinear: that is the pattern that ONNX Runtime fuses into an integer kernel.
    Raises BuildError when nothing was quantized.
    """
    dequantized = {
        output for node in model.graph.node if node.op_type == "DequantizeLinear" for output in node.output
    }
    integer: list[str] = []
    left: list[str] = []
    for node in model.graph.node:
        if node.op_type in _INTEGER:
            integer.append(node.op_type)
        elif node.op_type in _WEIGHTED:
            quantized = all(name in dequantized for name in node.input[:2])
            (integer if quantized else left).append(node.op_type)
    if not integer:
        raise BuildError(
            "nothing was quantized: the graph has "
            + (
                f"only {', '.join(sorted(set(left)))} in float"
                if left
                else "no dense or convolution operator"
            )
        )
    counts = onnx_graph.operators(model)
    low, total = _weight_bytes(model)
    return {
        "integer_operators": _count(integer),
        "float_operators": _count(left),
        "integer_operator_share": len(integer) / (len(integer) + len(left)),
        "quantize_nodes": counts["QuantizeLinear"] + counts["DynamicQuantizeLinear"],
        "dequantize_nodes": counts["DequantizeLinear"],
        "low_precision_weight_share": low / total if total else 0.0,
    }


def _count(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


def _weight_bytes(model: onnx.ModelProto) -> tuple[int, int]:
    """Bytes of initializers with at least two dimensions: those in 8 bits or fewer, and all."""
    import onnx

    low = total = 0
    for tensor in model.graph.initializer:
        if len(tensor.dims) < 2:
            continue
        width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        size = int(np.prod(tensor.dims)) * width
        total += size
        low += size if width == 1 else 0
    return low, total
