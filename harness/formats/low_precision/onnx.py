"""Low precision in an ONNX graph, counted in the graph that is measured and as ONNX Runtime runs it."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.formats.low_precision.shares import DOUBLE, FLOAT, Product, tally, unchanged
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.flops import hides_products, is_product, node_flops
from harness.formats.onnx.structure import graphs_inside, initializers
from harness.formats.onnx.traffic import Connections, element_bits, stored_bytes
from harness.formats.onnx.weights import scales

if TYPE_CHECKING:
    import onnx

_INTEGER = {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
_INTEGER_KERNELS = _INTEGER | {"MatMulIntegerToFloat", "QGemm"}
_RECURRENT = {"GRU", "LSTM", "RNN"}
_HIDDEN_INTEGER = {
    "DynamicQuantizeLSTM",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QAttention",
    "QGemm",
}
"""Operators of ONNX Runtime that compute in integers and whose FLOPs are not counted."""
_PASSED_BY = ("Transpose", "Reshape", "Squeeze", "Unsqueeze")  # between a weight and its operator
_HALF = {10: "float16", 16: "bfloat16"}  # by onnx.TensorProto's numbers
_FLOATS = {**_HALF, 11: DOUBLE}
_COUNTED_BYTES = 16_384
"""Constants below this size keep their values: shapes may be computed from them."""
_INT8_COMPUTE = 4  # MatMulNBits' accuracy_level at which activations are rounded to int8 as well


def report(
    model: onnx.ModelProto,
    source: onnx.ModelProto,
    *,
    integer: bool = False,
    kernels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Report which parts of `model`, made from `source`, compute or are stored in low precision.

    `kernels` names the operator that each node of `model` runs as (`running_kernels`). Without it, a product
    of dequantized operands counts as integer where ONNX Runtime fuses such a pattern.

    Shares are of the FLOPs of the whole graph (None where an operator's FLOPs are not known, such as an
    LSTM's) and of the stored bytes of all weights with two dimensions or more.
    `overhead_operators` are those that the source does not have. Raises BuildError when nothing is in low
    precision, or no more than in the source, or with `integer`, when weights of products are in integers and
    nothing computes in them. Tables that are only looked up in need not compute.
    """
    found = _Graph(model.graph, node_flops(model), kernels).products()
    given = _Graph(source.graph, node_flops(source)).products()
    low, total = weight_bytes(model)
    only_tables = all(product.kind == "float" for product in found) and low > weight_bytes(source)[0]
    if not only_tables:
        if all(product.kind == "float" for product in found):
            raise unchanged(
                "graph", [p.type if p.computes == FLOAT else f"{p.type} ({p.computes})" for p in found]
            )
        if _kinds(found) == _kinds(given):
            raise BuildError("nothing was quantized beyond what an earlier step had quantized")
        if integer and not any(product.kind == "integer" for product in found):
            names = ", ".join(sorted({p.type for p in found if p.kind != "float"}))
            raise BuildError(
                f"nothing computes in integers: ONNX Runtime has no integer kernel for {names} here"
            )
    counts = onnx_graph.operators(model)
    return {
        **tally(found, low, total),
        "quantize_nodes": counts["QuantizeLinear"] + counts["DynamicQuantizeLinear"],
        "dequantize_nodes": counts["DequantizeLinear"],
        "qdq_pairs": _pairs(model),
        "overhead_operators": _overhead(model, source),
    }


def running_kernels(path: Path) -> dict[str, str]:
    """Return, by node name, the operator as which ONNX Runtime's CPU provider runs each node of a QDQ graph.

    A fused product keeps its node's name. Fusion depends on more than the pattern: with signed activations on
    x86, for example, products whose input several operators read are not fused.
    """
    return {node.name: node.op_type for node in graph_that_runs(path, "ORT_ENABLE_EXTENDED").graph.node}


def graph_that_runs(path: Path, level: str = "ORT_DISABLE_ALL") -> onnx.ModelProto:
    """Return the graph as ONNX Runtime's CPU provider runs it, with Casts around what it has no kernels for.

    With its optimizations off, operators keep the names and dtypes that can be counted. Large weights have
    their shapes and no values.
    """
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(_COUNTED_BYTES)
        )
        options.log_severity_level = 4
        ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        return onnx.load(str(optimized), load_external_data=False)


def _kinds(products: list[Product]) -> Counter[str]:
    return Counter(product.kind for product in products)


def weight_bytes(model: onnx.ModelProto) -> tuple[int, int]:
    """Return the bytes of initializers with at least two dimensions: those in fewer than 32 bits, and all.

    Scales and zero points do not count as weights.
    """
    parameters = scales(model)
    low = total = 0
    for tensor in initializers(model):
        if len(tensor.dims) < 2 or tensor.name in parameters:
            continue
        size = math.ceil(stored_bytes(tensor))
        total += size
        low += size if element_bits(tensor.data_type) < 32 else 0
    return low, total


class _Graph:
    """A graph with producer, readers and dtype of each tensor, those of `outer` graphs as well."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        flops: Iterable[float | None],
        kernels: Mapping[str, str] | None = None,
        outer: Mapping[str, int] | None = None,
    ) -> None:
        self.kernels = kernels
        self.nodes = list(zip(graph.node, flops, strict=False))
        self.connections = Connections(graph)
        self.types = {**(outer or {}), **{tensor.name: tensor.data_type for tensor in graph.initializer}}

    def products(self) -> list[Product]:
        """Return each product and convolution, as it runs, those inside nodes and operators as well.

        The FLOPs of these are not known.
        """
        found = []
        for node, flops in self.nodes:
            for graph in graphs_inside(node):
                found += _Graph(graph, itertools.repeat(None), self.kernels, self.types).products()
            if is_product(node) or (hides_products(node) and not [*graphs_inside(node)]):
                found.append(Product(node.op_type, _name(node), flops, *self._runs(node)))
        return found

    def _runs(self, node: onnx.NodeProto) -> tuple[str, bool]:
        """Return the compute dtype, and whether weights are stored in fewer bits."""
        if node.op_type in _INTEGER | _HIDDEN_INTEGER:
            return "int8", True
        if node.op_type == "MatMulNBits":
            levels = [a.i for a in node.attribute if a.name == "accuracy_level"]
            return "int8" if levels == [_INT8_COMPUTE] else FLOAT, True
        if not is_product(node) and node.op_type not in _RECURRENT:
            return FLOAT, False
        data, weight = (self._origin(name) for name in node.input[:2])
        if weight == "dequantized":
            return "int8" if data == "dequantized" and self._fused(node) else FLOAT, True
        if weight == DOUBLE:
            return DOUBLE, False
        return (weight, True) if weight in _HALF.values() else (FLOAT, weight == "widened")

    def _fused(self, node: onnx.NodeProto) -> bool:
        if self.kernels is None:
            return self.connections.fuses(node)
        return self.kernels.get(node.name) in _INTEGER_KERNELS

    def _origin(self, name: str) -> str:
        """Return a tensor's origin: dequantized, a dtype of `_FLOATS`, widened (from 16 bits), or other."""
        node = self.connections.producers.get(name)
        while node is not None and node.op_type in _PASSED_BY:
            name = node.input[0]
            node = self.connections.producers.get(name)
        if node is None:
            return _FLOATS.get(self.types.get(name, 0), "other")
        if node.op_type == "DequantizeLinear":
            return "dequantized"
        widened = node.op_type == "Cast" and self._origin(node.input[0]) in _HALF.values()
        return "widened" if widened else "other"


def _pairs(model: onnx.ModelProto) -> int:
    """Count the DequantizeLinear nodes that read a QuantizeLinear: activations rounded to 8 bits and back."""
    quantized = {name for n in model.graph.node if n.op_type == "QuantizeLinear" for name in n.output}
    return sum(n.op_type == "DequantizeLinear" and n.input[0] in quantized for n in model.graph.node)


def _overhead(model: onnx.ModelProto, source: onnx.ModelProto) -> dict[str, int]:
    products = {node.op_type for node in model.graph.node if is_product(node)} | _HIDDEN_INTEGER
    added = onnx_graph.operators(model) - onnx_graph.operators(source)
    return {name: n for name, n in sorted(added.items()) if name not in products}


def _name(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])
