"""Which initializers of an ONNX graph are parameters: weights in floats or integers, without their scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.formats.onnx.structure import initializers, nodes

if TYPE_CHECKING:
    import onnx

_FLOATS = {1, 10, 11, 16}  # onnx.TensorProto's numbers of float, float16, double, bfloat16
_INTEGERS = {2, 3, *range(17, 27)}  # uint8, int8; float8, four and two bits
_BIASES = {"DequantizeLinear": 0, "QLinearConv": 8, "QGemm": 6}
"""The position of a bias in int32 (`_INT32`)."""
_INT32 = 6
_SCALES = {"DynamicQuantizeMatMul": (2, 3), "MatMulIntegerToFloat": (2, 3, 4, 5), "MatMulNBits": (2, 3)}
_SCALES |= {"QGemm": (1, 2, 4, 5, 7, 8), "DynamicQuantizeLSTM": (8, 9, 10, 11), "QAttention": (3, 4, 6, 7)}
_SCALES |= {"GatherBlockQuantized": (2, 3), "QEmbedLayerNormalization": tuple(range(8, 18))}
"""Positions of scales and zero points in ONNX Runtime's operators (onnxruntime, ContribOperators.md)."""


def scales(model: onnx.ModelProto) -> set[str]:
    """Return the names of tensors that operators read as scales or zero points."""
    import onnx

    single = {tensor.name for tensor in initializers(model) if math.prod(tensor.dims) == 1}
    found: set[str] = set()
    dynamic: set[str] = set()
    for node in nodes(model):
        if node.op_type == "DynamicQuantizeLinear":
            dynamic.add(node.output[1])
        if node.op_type == "Mul" and dynamic & set(node.input):  # with the scale of the weight
            found |= set(node.input)
        if node.op_type in _SCALES:
            found |= {node.input[i] for i in _SCALES[node.op_type] if i < len(node.input)}
        elif node.op_type.startswith("QLinear") and node.domain == "com.microsoft":
            found |= single & set(node.input)
        elif ("Linear" in node.op_type or "Integer" in node.op_type) and onnx.defs.has(node.op_type):
            named = zip(onnx.defs.get_schema(node.op_type).inputs, node.input, strict=False)
            found |= {name for i, name in named if i.name.endswith(("_scale", "_zero_point"))}
    return found


def count_parameters(model: onnx.ModelProto) -> dict[str, int]:
    """Count ``parameters``, the elements of weights and biases, and those not zero (``nonzero_parameters``).

    The second is left out where weights are integers, whose zero points are not looked up.
    """
    from onnx import numpy_helper

    quantized = [node for node in nodes(model) if node.op_type in _BIASES]
    biases = {name for node in quantized for name in node.input[_BIASES[node.op_type] :][:1]}
    packed = {node.input[1]: node for node in nodes(model) if node.op_type == "MatMulNBits"}
    left_out = scales(model)
    parameters = nonzero = 0
    floats = True
    for tensor in initializers(model):
        integer = tensor.data_type in _INTEGERS or (tensor.data_type == _INT32 and tensor.name in biases)
        if tensor.name in left_out or not (integer or tensor.data_type in _FLOATS):
            continue
        sizes = {a.name: a.i for a in packed[tensor.name].attribute} if tensor.name in packed else {}
        parameters += sizes["K"] * sizes["N"] if sizes else math.prod(tensor.dims)
        floats = floats and not integer
        nonzero += int(np.count_nonzero(numpy_helper.to_array(tensor))) if floats else 0
    return {"parameters": parameters, **({"nonzero_parameters": nonzero} if floats else {})}
