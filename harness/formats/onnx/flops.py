"""FLOPs of an ONNX graph's operators, from shapes: twice the multiply-accumulates, as vendors count them.

This is the only place that counts them, whatever the compute dtype: float operators, QDQ and QOperator
graphs, dynamic integer operators and block-quantized weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.onnx.structure import BATCH, FIRST_IR, graphs_inside

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
UNCOUNTED = {  # operators whose multiply-accumulates are not counted here
    *("Attention", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan"),
}
_WITHOUT_PRODUCTS = {  # operators of ONNX Runtime's own domain that multiply and accumulate nothing
    *("BiasGelu", "BiasSoftmax", "BiasSplitGelu", "DequantizeLinear", "EmbedLayerNormalization", "FastGelu"),
    *("GatherBlockQuantized", "Gelu", "GroupNorm", "NhwcMaxPool", "QEmbedLayerNormalization", "QLinearAdd"),
    *("QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul"),
    *("QLinearSigmoid", "QLinearSoftmax", "QLinearWhere", "QuantizeLinear", "QuickGelu", "RotaryEmbedding"),
    *("SimplifiedLayerNormalization", "SkipGroupNorm", "SkipLayerNormalization"),
    "SkipSimplifiedLayerNormalization",
}
_STANDARD = ("", "ai.onnx")
_SMALL = 1024  # elements: constants up to this size are kept, since shapes may be computed from them


def node_flops(model: onnx.ModelProto) -> list[float | None]:
    """Return FLOPs of each node in the graph's order, for a batch of one where the batch is free.

    0 for operators that do not multiply and accumulate; None where a shape cannot be inferred, or for an
    operator whose products are not counted.
    """
    shapes = tensor_shapes(model)
    return [_flops(node, shapes) for node in model.graph.node]


def known_sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of `values`, or None where one of them is None."""
    known = list(values)
    return None if None in known else sum((value or 0.0 for value in known), 0.0)


def tensor_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return the shapes that can be inferred, by tensor name, with a batch of one where the batch is free."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    copy = inferred(model)
    for value in [*copy.graph.value_info, *copy.graph.input, *copy.graph.output] if copy else ():
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            shapes.setdefault(value.name, tuple(d.dim_value for d in dims))
    return shapes


def inferred(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a copy of the graph, for a batch of one, with all shapes and dtypes that can be inferred."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(_shape_copy(model), data_prop=True)
    except Exception:  # the shapes contradict each other
        return None


def is_product(node: onnx.NodeProto) -> bool:
    """Whether the node is a matrix product or a convolution, in any compute dtype."""
    return (node.domain, node.op_type) in _RULES or (
        node.domain in _STANDARD and ("", node.op_type) in _RULES
    )


def hides_products(node: onnx.NodeProto) -> bool:
    """Whether products of a node are not counted: those of an operator, or of graphs inside the node."""
    if inner := list(graphs_inside(node)):
        return any(is_product(each) or hides_products(each) for graph in inner for each in graph.node)
    if is_product(node) or node.op_type in _WITHOUT_PRODUCTS:
        return False
    return node.domain not in _STANDARD or node.op_type in UNCOUNTED


def _shape_copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy the graph for shape inference: a batch of one, no large weights, custom operators replaced."""
    import onnx

    copy = onnx.ModelProto(
        ir_version=max(model.ir_version, FIRST_IR),
        opset_import=model.opset_import,
        functions=model.functions,
    )
    graph = copy.graph
    graph.name = "shapes"
    names = {tensor.name for tensor in model.graph.initializer}
    graph.output.extend(model.graph.output)
    for value in model.graph.input:
        if value.name not in names:
            graph.input.add().CopyFrom(value)
            dims = graph.input[-1].type.tensor_type.shape.dim
            for place, dim in enumerate(dims):
                if not dim.HasField("dim_value") and (dim.dim_param == BATCH or place == 0):
                    dim.dim_value = 1
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) <= _SMALL:
            graph.initializer.add().CopyFrom(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            weight = f"{node.output[0]}/weight"
            dims = [_attribute(node, "K"), _attribute(node, "N")]
            graph.input.append(onnx.helper.make_tensor_value_info(weight, onnx.TensorProto.FLOAT, dims))
            graph.node.append(onnx.helper.make_node("MatMul", [node.input[0], weight], node.output))
        else:
            graph.node.add().CopyFrom(node)
    return copy


def _flops(node: onnx.NodeProto, shapes: dict[str, Shape]) -> float | None:
    domain = "" if node.domain in _STANDARD else node.domain
    rule = _RULES.get((domain, node.op_type))
    if rule is None:
        return None if hides_products(node) else 0.0
    try:
        return 2.0 * rule(node, shapes)
    except (KeyError, IndexError):  # an input is missing, or its shape is not known
        return None


def _size(shape: Shape) -> float:
    return float(np.prod(shape, dtype=np.float64))


def _conv(weight: int) -> Callable[[onnx.NodeProto, dict[str, Shape]], float]:
    """Count a convolution; `weight` is the position of its weight, (out, in / group, *kernel)."""
    return lambda node, shapes: (
        _size(shapes[node.output[0]]) * _size(shapes[node.input[weight]][1:])  # a product for each output
    )


def _conv_transpose(node: onnx.NodeProto, shapes: dict[str, Shape]) -> float:
    """Count by inputs: the weight is (in, out / group, *kernel)."""
    return _size(shapes[node.input[0]]) * _size(shapes[node.input[1]][1:])


def _matmul(node: onnx.NodeProto, shapes: dict[str, Shape]) -> float:
    return _size(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: onnx.NodeProto, shapes: dict[str, Shape]) -> float:
    depth = shapes[node.input[0]][0 if _attribute(node, "transA") else -1]
    return _size(shapes[node.output[0]]) * depth


def _matmul_nbits(node: onnx.NodeProto, shapes: dict[str, Shape]) -> float:
    return _size(shapes[node.output[0]]) * int(_attribute(node, "K"))


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    """Return an integer attribute, 0 where it is not given."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


_RULES: dict[tuple[str, str], Callable[[Any, dict[str, Shape]], float]] = {
    ("", "Conv"): _conv(1),
    ("", "ConvInteger"): _conv(1),
    ("", "ConvTranspose"): _conv_transpose,
    ("", "Gemm"): _gemm,
    ("", "MatMul"): _matmul,
    ("", "MatMulInteger"): _matmul,
    ("", "QLinearConv"): _conv(3),  # data, scale, zero point, then the weight
    ("", "QLinearMatMul"): _matmul,
    ("com.microsoft", "MatMulNBits"): _matmul_nbits,
}
