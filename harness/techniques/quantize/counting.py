"""What really got quantized: counted in the graph that is measured, never assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.artifacts import onnx_graph
from harness.artifacts.onnx_flops import is_product, node_flops
from harness.errors import BuildError

if TYPE_CHECKING:
    import onnx

Arithmetic = Literal["integer", "weight-only", "half", "float"]

_INTEGER = {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
_PASSED_BY = ("Transpose", "Reshape", "Squeeze", "Unsqueeze")  # between a weight and its operator
_NAMES_SHOWN = 20
_INT8_COMPUTE = 4  # MatMulNBits' accuracy_level at which activations are rounded to int8 as well


def report(model: onnx.ModelProto, source: onnx.ModelProto, *, integer: bool = False) -> dict[str, Any]:
    """Report what of `model`, made from `source`, computes or is stored in low precision.

    Shares are of the FLOPs of the whole graph (None where an operator's are not known: an LSTM stays in float
    and is named so) and of the stored bytes of all weights with two dimensions or more. `overhead_operators`
    are those that the source did not have. Raises BuildError when nothing is in low precision, or nothing
    more than in the source, or with `integer`, when nothing computes in integers.
    """
    kinds = _Graph(model).arithmetic()
    flops = node_flops(model)
    left = [model.graph.node[i] for i, kind in kinds.items() if kind == "float"]
    if len(left) == len(kinds):
        raise BuildError(f"nothing was quantized: the graph has {_only(left)}")
    if Counter(kinds.values()) == Counter(_Graph(source).arithmetic().values()):
        raise BuildError("nothing was quantized beyond what a step before had done")
    hidden = [n for i, n in enumerate(model.graph.node) if flops[i] is None and i not in kinds]
    if integer and "integer" not in kinds.values():
        found = sorted({model.graph.node[i].op_type for i in kinds})
        raise BuildError(
            f"nothing computes in integers: ONNX Runtime has no integer kernel for {', '.join(found)} here"
        )
    counts = onnx_graph.operators(model)
    low, total = weight_bytes(model)
    by_kind = {kind: [i for i, k in kinds.items() if k == kind] for kind in set(kinds.values())}

    def types(*wanted: Arithmetic) -> dict[str, int]:
        found = Counter(model.graph.node[i].op_type for kind in wanted for i in by_kind.get(kind, ()))
        return dict(sorted(found.items()))

    def share(*wanted: Arithmetic) -> float | None:
        return _share((flops[i] for kind in wanted for i in by_kind.get(kind, ())), flops)

    return {
        "integer_operators": types("integer"),
        "weight_only_operators": types("weight-only"),
        "half_operators": types("half"),
        "float_operators": types("float") | dict(sorted(Counter(n.op_type for n in hidden).items())),
        "float_operator_names": [_name(node) for node in [*left, *hidden][:_NAMES_SHOWN]],
        "low_precision_flops_share": share("integer", "half"),
        "weight_only_flops_share": share("weight-only"),
        "low_precision_weight_share": low / total if total else 0.0,
        "quantize_nodes": counts["QuantizeLinear"] + counts["DynamicQuantizeLinear"],
        "dequantize_nodes": counts["DequantizeLinear"],
        "qdq_pairs": _pairs(model),
        "overhead_operators": _overhead(model, source),
    }


def weight_bytes(model: onnx.ModelProto) -> tuple[int, int]:
    """Bytes of initializers with at least two dimensions: those in fewer than 32 bits, and all.

    Scales and zero points are no weights.
    """
    parameters = {
        name
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "MatMulNBits")
        for name in node.input[2 if node.op_type == "MatMulNBits" else 1 :]
    }
    low = total = 0
    for tensor in model.graph.initializer:
        if len(tensor.dims) < 2 or tensor.name in parameters:
            continue
        bits = element_bits(tensor.data_type)
        size = (int(np.prod(tensor.dims)) * bits + 7) // 8
        total += size
        low += size if bits < 32 else 0
    return low, total


def element_bits(data_type: int) -> int:
    """Bits of one stored element of an ONNX type: 4 for INT4, 8 for INT8, 32 for FLOAT."""
    import onnx

    if data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return 4
    return 8 * int(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(data_type)).itemsize)


class _Graph:
    """A graph with its tensors' makers, readers and types at hand."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = model.graph.node
        self.made_by = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}

    def arithmetic(self) -> dict[int, Arithmetic]:
        """The arithmetic of each product and convolution, by its place among the nodes."""
        return {i: self._kind(node) for i, node in enumerate(self.nodes) if is_product(node)}

    def _kind(self, node: onnx.NodeProto) -> Arithmetic:
        if node.op_type in _INTEGER:
            return "integer"
        if node.op_type == "MatMulNBits":
            levels = [a.i for a in node.attribute if a.name == "accuracy_level"]
            return "integer" if levels == [_INT8_COMPUTE] else "weight-only"
        data, weight = (self._origin(name) for name in node.input[:2])
        if weight == "widened":
            return "weight-only"
        if weight == "dequantized":
            return "integer" if data == "dequantized" and self._fuses(node) else "weight-only"
        return "half" if weight == "half" else "float"

    def _origin(self, name: str) -> str:
        """Where a tensor comes from: dequantized, half, widened (half, then cast), or other."""
        node = self.made_by.get(name)
        while node is not None and node.op_type in _PASSED_BY:
            name = node.input[0]
            node = self.made_by.get(name)
        if node is None:
            bits = element_bits(self.types[name]) if name in self.types else 32
            return "half" if bits == 16 else "other"
        if node.op_type == "DequantizeLinear":
            return "dequantized"
        widened = node.op_type == "Cast" and self._origin(node.input[0]) == "half"
        return "widened" if widened else "other"

    def _fuses(self, node: onnx.NodeProto) -> bool:
        """Whether ONNX Runtime has an integer kernel for this QDQ pattern.

        Convolutions need their output quantized, through a Relu or Clip at most; products do not.
        """
        if node.op_type == "ConvTranspose":
            return False
        if node.op_type != "Conv":
            return True
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip"):
            readers = self.readers.get(readers[0].output[0], [])
        return bool(readers) and all(reader.op_type == "QuantizeLinear" for reader in readers)


def _share(part: Iterable[float | None], whole: Iterable[float | None]) -> float | None:
    known = list(whole)
    if None in known or not sum(flops or 0.0 for flops in known):
        return None
    return sum(flops or 0.0 for flops in part) / sum(flops or 0.0 for flops in known)


def _pairs(model: onnx.ModelProto) -> int:
    """DequantizeLinear nodes that read what a QuantizeLinear made: activations through 8 bits and back."""
    quantized = {name for n in model.graph.node if n.op_type == "QuantizeLinear" for name in n.output}
    return sum(n.op_type == "DequantizeLinear" and n.input[0] in quantized for n in model.graph.node)


def _overhead(model: onnx.ModelProto, source: onnx.ModelProto) -> dict[str, int]:
    products = {node.op_type for node in model.graph.node if is_product(node)}
    added = onnx_graph.operators(model) - onnx_graph.operators(source)
    return {name: n for name, n in sorted(added.items()) if name not in products}


def _only(nodes: list[onnx.NodeProto]) -> str:
    if not nodes:
        return "no dense or convolution operator"
    return f"only {', '.join(sorted({node.op_type for node in nodes}))} in float"


def _name(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
