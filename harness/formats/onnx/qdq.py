"""Quantize and dequantize pairs around an ONNX operator: which of them become an integer kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_FUSED = ("Relu", "Clip")  # between an operator and the quantizing of its output


class Neighbours:
    """A graph's tensors with the nodes that make and read them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.made_by = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def quantized_from(self, name: str) -> str | None:
        """Return the integers from which a tensor is dequantized, or None."""
        node = self.made_by.get(name)
        return str(node.input[0]) if node is not None and node.op_type == DEQUANTIZE else None

    def quantized_to(self, node: onnx.NodeProto) -> str | None:
        """Return the integers to which a node's output is quantized, through a Relu or Clip; else None."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type in _FUSED:
            readers = self.readers.get(readers[0].output[0], [])
        if not readers or any(reader.op_type != QUANTIZE for reader in readers):
            return None
        return str(readers[0].output[0])

    def fuses(self, node: onnx.NodeProto) -> bool:
        """Whether ONNX Runtime has an integer kernel for a product whose operands are dequantized.

        Convolutions need their output quantized; products of matrices do not.
        """
        if node.op_type == "ConvTranspose":
            return False
        return node.op_type != "Conv" or self.quantized_to(node) is not None
