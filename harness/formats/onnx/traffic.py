"""What an ONNX graph moves through memory: weights, and the activations of its products, from shapes.

Element-wise operators are taken as fused into the products before them, as runtimes do; so are quantize and
dequantize pairs around a product for which there is an integer kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.formats.onnx.flops import inferred, is_product, node_flops, tensor_shapes
from harness.formats.onnx.qdq import DEQUANTIZE, Neighbours

if TYPE_CHECKING:
    import onnx

_FLOAT = 1  # onnx.TensorProto.FLOAT


def count_traffic(model: onnx.ModelProto) -> dict[str, float]:
    """Return `weight_bytes`, `activation_bytes` (inputs and outputs of convolutions and matrix products) and
    `float32_flops_share`, for a batch of one where the batch is free; what cannot be inferred is left out, as
    where an operator hides its products (Einsum, LSTM).

    Tables that rows are looked up in alone (embeddings) are no weights here: a call reads a few rows of them.
    The share is of FLOPs known to be float32: what comes out of integers may be multiplied as integers.
    """
    tables = _tables(model)
    weights = [tensor for tensor in model.graph.initializer if tensor.name not in tables]
    statistics = {"weight_bytes": sum(_bytes(t.data_type, tuple(t.dims)) for t in weights)}
    kinds, shapes = _kinds(model), tensor_shapes(model)
    if None in node_flops(model):
        return statistics | _share(model, kinds)
    constants = _constants(model)
    around = Neighbours(model)
    activations = 0.0
    for node in filter(is_product, model.graph.node):
        given = [name for name in node.input if name and name not in constants]
        for name in _moved(node, given, around):
            if name not in shapes or name not in kinds:
                return statistics | _share(model, kinds)
            activations += _bytes(kinds[name], shapes[name])
    return statistics | {"activation_bytes": activations} | _share(model, kinds)


def _tables(model: onnx.ModelProto) -> set[str]:
    """Names of what only look-ups of rows read, be it through a dequantization or cast."""
    looked_up: set[str] = set()
    read = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):  # readers before what they read
        if node.op_type in (DEQUANTIZE, "Cast") and set(node.output) <= looked_up - read:
            looked_up.update(node.input)
            continue
        rows = node.op_type == "Gather" and not any(a.name == "axis" and a.i for a in node.attribute)
        looked_up.update(node.input[:1] if rows else ())
        read.update(node.input[1:] if rows else node.input)
    return looked_up - read


def _moved(node: onnx.NodeProto, given: list[str], around: Neighbours) -> set[str]:
    """Tensors that a product reads and writes: integers where quantize and dequantize are fused into it."""
    made = [name for name in node.output if name]
    if any(around.quantized_from(name) is None for name in node.input[:2]) or not around.fuses(node):
        return {*given, *made}
    sources = {around.quantized_from(name) or name for name in given}
    return {*sources, around.quantized_to(node) or made[0], *made[1:]}


def _share(model: onnx.ModelProto, kinds: dict[str, int]) -> dict[str, float]:
    """Share of the FLOPs known to be float32; none where FLOPs are not known."""
    integer = {name for node in model.graph.node if node.op_type == DEQUANTIZE for name in node.output}
    flops = node_flops(model)
    if None in flops or not sum(each or 0.0 for each in flops):
        return {"float32_flops_share": 0.0}
    total = plain = 0.0
    for node, each in zip(model.graph.node, flops, strict=True):
        total += each or 0.0
        operands = [name for name in node.input[:2] if name]
        if all(kinds.get(name) == _FLOAT and name not in integer for name in operands) and not node.domain:
            plain += each or 0.0
    return {"float32_flops_share": plain / total}


def _kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of each tensor that is known, by name."""
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for value in _values(inferred(model) or model):
        if value.type.tensor_type.elem_type:
            kinds.setdefault(value.name, value.type.tensor_type.elem_type)
    return kinds


def _values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    yield from model.graph.value_info
    yield from model.graph.input
    yield from model.graph.output


def _constants(model: onnx.ModelProto) -> set[str]:
    """Names of weights and of what is computed from weights alone."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:  # in topological order, as the checker wants it
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    return constants


def _bytes(kind: int, shape: tuple[int, ...]) -> float:
    """Bytes of a tensor; 4-bit numbers lie two in a byte."""
    import onnx

    packed = onnx.TensorProto.DataType.Name(kind) in ("INT4", "UINT4", "FLOAT4E2M1")
    size = 0.5 if packed else float(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    return size * float(np.prod(shape, dtype=np.float64))
