"""Which initializers of an ONNX graph are parameters: weights in floats or integers, without their scales."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.formats.onnx.structure import graphs

if TYPE_CHECKING:
    import onnx

_FLOATS = {1, 10, 11, 16}  # onnx.TensorProto's numbers of float, float16, double, bfloat16
_BYTES_OR_LESS = {2, 3, *range(17, 27)}  # uint8, int8; float8, four and two bits
_INT32 = 6
_BIASES = {"DequantizeLinear": 0, "QLinearConv": 8, "QGemm": 6}
"""The position of a bias in int32."""
_NONE = 99
_UNARY, _BINARY = ((0, 1, 2), (_NONE, 3, 4)), ((0, 1, 2), (3, 4, 5), (_NONE, 6, 7))
_QUANTIZED: dict[str, tuple[tuple[int, int, int], ...]] = {
    "ConvInteger": ((0, _NONE, 2), (1, _NONE, 3)),
    "DequantizeLinear": ((0, 1, 2),),
    "DynamicQuantizeMatMul": ((1, 2, 3),),
    "MatMulInteger": ((0, _NONE, 2), (1, _NONE, 3)),
    "MatMulIntegerToFloat": ((0, 2, 4), (1, 3, 5)),
    "MatMulNBits": ((1, 2, 3),),
    "QGemm": ((0, 1, 2), (3, 4, 5), (_NONE, 7, 8)),
    "QLinearAdd": _BINARY,
    "QLinearAveragePool": _UNARY,
    "QLinearConv": _BINARY,
    "QLinearGlobalAveragePool": _UNARY,
    "QLinearLeakyRelu": _UNARY,
    "QLinearMatMul": _BINARY,
    "QLinearMul": _BINARY,
    "QLinearSigmoid": _UNARY,
    "QLinearSoftmax": _UNARY,
    "QuantizeLinear": ((0, 1, 2),),
}
"""Positions of each tensor, its scale and its zero point among an operator's inputs (onnx: Operators.md,
onnxruntime: ContribOperators.md)."""


def scales(model: onnx.ModelProto) -> set[str]:
    """Return the names of tensors that operators read as scales or zero points."""
    found: set[str] = set()
    dynamic: set[str] = set()
    for graph in graphs(model.graph):
        for node in graph.node:
            for _, scale, zero in _QUANTIZED.get(node.op_type, ()):
                found |= {*node.input[scale : scale + 1], *node.input[zero : zero + 1]}
            if node.op_type == "QLinearConcat":  # the output's scale and zero point, then triples
                found |= {name for i, name in enumerate(node.input) if i % 3 != 2}
            if node.op_type == "DynamicQuantizeLinear":
                dynamic.add(node.output[1])
            if node.op_type == "Mul" and dynamic & set(node.input):  # with the scale of the weight
                found |= set(node.input)
    return found


def count_parameters(model: onnx.ModelProto) -> int:
    """Count the elements of weights and biases, in the graphs inside nodes as well."""
    packed = _packed(model)
    return sum(packed.get(t.name, math.prod(t.dims)) for t in _parameters(model))


def count_nonzero(model: onnx.ModelProto) -> int | None:
    """Count the parameters that are not zero; None where integers are packed or have several zero points."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    zeros: dict[str, set[float]] = {}
    for node in (node for graph in graphs(model.graph) for node in graph.node):
        for at, _, zero in _QUANTIZED.get(node.op_type, ()):
            point = tensors.get(node.input[zero]) if len(node.input) > zero else None
            values = np.unique(numpy_helper.to_array(point)) if point is not None else [0]
            zeros.setdefault("".join(node.input[at : at + 1]), set()).update(map(float, values))
    total, packed = 0, _packed(model)
    for tensor in _parameters(model):
        points = zeros.get(tensor.name, {0.0})
        if len(points) > 1 or tensor.name in packed:
            return None
        total += int(np.count_nonzero(numpy_helper.to_array(tensor) != points.pop()))
    return total


def _parameters(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    left_out = scales(model)
    biases = {
        node.input[at]
        for graph in graphs(model.graph)
        for node in graph.node
        if len(node.input) > (at := _BIASES.get(node.op_type, _NONE))
    }
    for tensor in (tensor for graph in graphs(model.graph) for tensor in graph.initializer):
        kinds = _FLOATS | _BYTES_OR_LESS | ({_INT32} if tensor.name in biases else set())
        if tensor.data_type in kinds and tensor.name not in left_out:
            yield tensor


def _packed(model: onnx.ModelProto) -> dict[str, int]:
    """Return the elements of the weights that are packed into bytes, by name."""
    found = {}
    for node in (node for graph in graphs(model.graph) for node in graph.node):
        if node.op_type == "MatMulNBits":
            sizes = {attribute.name: attribute.i for attribute in node.attribute}
            found[node.input[1]] = int(sizes["K"] * sizes["N"])
    return found
