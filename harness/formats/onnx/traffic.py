"""Memory traffic of an ONNX graph: weights, and the activations of its products, from shapes.

Element-wise operators count as fused into the products before them, as runtimes fuse them; so do quantize and
dequantize pairs around a product that has an integer kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.formats.onnx.flops import inferred, is_product, known_sum, node_flops, tensor_shapes
from harness.formats.onnx.structure import initializers, read_by

if TYPE_CHECKING:
    import onnx

_FLOAT = 1  # onnx.TensorProto.FLOAT
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_FUSED = ("Relu", "Clip")  # between an operator and the quantization of its output
_TABLES = {"Gather": (0,), "GatherBlockQuantized": (0, 2, 3)}
_TABLES |= dict.fromkeys(("EmbedLayerNormalization", "QEmbedLayerNormalization"), (2, 3, 4))
_AXES = ("axis", "gather_axis")  # of the rows, 0 by default


class Connections:
    """The nodes that produce and read each tensor of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.producers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def quantized_from(self, name: str) -> str | None:
        """Return the name of the integers from which a tensor is dequantized, or None."""
        node = self.producers.get(name)
        return str(node.input[0]) if node is not None and node.op_type == DEQUANTIZE else None

    def quantized_to(self, node: onnx.NodeProto) -> str | None:
        """Return the name of the integers to which a node's output is quantized, or None.

        A Relu or Clip may stand between.
        """
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type in _FUSED:
            readers = self.readers.get(readers[0].output[0], [])
        if not readers or any(reader.op_type != QUANTIZE for reader in readers):
            return None
        return str(readers[0].output[0])

    def fuses(self, node: onnx.NodeProto) -> bool:
        """Whether ONNX Runtime has an integer kernel for a product whose operands are dequantized.

        The output of a convolution must be quantized for that, the output of a matrix product need not.
        """
        if node.op_type == "ConvTranspose":
            return False
        return node.op_type != "Conv" or self.quantized_to(node) is not None


def count_traffic(model: onnx.ModelProto) -> dict[str, float]:
    """Return `weight_bytes`, `activation_bytes` (inputs and outputs of convolutions and matrix products) and
    `float32_flops_share`, for a batch of one where the batch is free. What cannot be inferred, or is hidden
    in an operator (Einsum, LSTM), is left out.

    Tables that are only looked up in (embeddings) do not count as weights: a call reads a few rows of them.
    The share counts FLOPs known to be float32: dequantized operands may be multiplied as integers.
    """
    tables = _tables(model)
    weights = [tensor for tensor in initializers(model) if tensor.name not in tables]
    kinds, shapes, flops = _kinds(model), tensor_shapes(model), node_flops(model)
    statistics = {
        "weight_bytes": sum(map(stored_bytes, weights)),
        "float32_flops_share": _float32_share(model, kinds, flops),
    }
    if None in flops:
        return statistics
    constants = _constants(model)
    connections = Connections(model.graph)
    activations = 0.0
    for node in filter(is_product, model.graph.node):
        given = [name for name in node.input if name and name not in constants]
        for name in _moved(node, given, connections):
            if name not in shapes or name not in kinds:
                return statistics
            activations += element_bits(kinds[name]) / 8 * float(np.prod(shapes[name], dtype=np.float64))
    return statistics | {"activation_bytes": activations}


def _tables(model: onnx.ModelProto) -> set[str]:
    """Return the names of tensors that only row look-ups read, perhaps through a dequantization or cast."""
    looked_up: set[str] = set()
    read = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):  # readers before what they read
        if node.op_type in (DEQUANTIZE, "Cast") and set(node.output) <= looked_up - read:
            looked_up.update(node.input)
            continue
        rows = set() if any(a.name in _AXES and a.i for a in node.attribute) else _looked_up(node)
        looked_up.update(rows)
        read.update(read_by(node) - rows)
    return looked_up - read


def _looked_up(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tables of which a node reads a few rows."""
    return {node.input[i] for i in _TABLES.get(node.op_type, ()) if i < len(node.input)} - {""}


def _moved(node: onnx.NodeProto, given: list[str], connections: Connections) -> set[str]:
    """Return the tensors that a product reads and writes: integers where pairs are fused into it."""
    made = [name for name in node.output if name]
    if any(connections.quantized_from(name) is None for name in node.input[:2]) or not connections.fuses(
        node
    ):
        return {*given, *made}
    sources = {connections.quantized_from(name) or name for name in given}
    return {*sources, connections.quantized_to(node) or made[0], *made[1:]}


def _float32_share(model: onnx.ModelProto, kinds: dict[str, int], flops: list[float | None]) -> float:
    """Return the share of the FLOPs known to be float32; 0 where FLOPs are not known."""
    integer = {name for node in model.graph.node if node.op_type == DEQUANTIZE for name in node.output}
    plain = 0.0
    for node, each in zip(model.graph.node, flops, strict=True):
        operands = [name for name in node.input[:2] if name]
        if all(kinds.get(name) == _FLOAT and name not in integer for name in operands) and not node.domain:
            plain += each or 0.0
    total = known_sum(flops)
    return plain / total if total else 0.0


def _kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Return the dtype of each tensor, by name, where it is known."""
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    graph = (inferred(model) or model).graph
    for value in [*graph.value_info, *graph.input, *graph.output]:
        if value.type.tensor_type.elem_type:
            kinds.setdefault(value.name, value.type.tensor_type.elem_type)
    return kinds


def _constants(model: onnx.ModelProto) -> set[str]:
    """Return the names of weights and of tensors computed from weights alone."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:  # in topological order, which the checker requires
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    return constants


def stored_bytes(tensor: onnx.TensorProto) -> float:
    """Return the bytes of an initializer's elements."""
    return element_bits(tensor.data_type) / 8 * float(np.prod(tensor.dims, dtype=np.float64))


def element_bits(data_type: int) -> int:
    """Return the bits of one stored element of an ONNX dtype: 4 for INT4, 8 for INT8, 32 for FLOAT."""
    import onnx

    name = onnx.TensorProto.DataType.Name(data_type)
    if name.startswith(("INT2", "INT4", "UINT2", "UINT4", "FLOAT4")):
        return 2 if "INT2" in name else 4
    return 8 * int(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(data_type)).itemsize)
