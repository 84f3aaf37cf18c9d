"""Equivalent rewritings of ONNX graphs for quantizers: constant weights, MatMul instead of Gemm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


def fold_transposes(model: onnx.ModelProto) -> int:
    """Replace, in place, each Transpose of an initializer by a constant; return how many.

    A weight that is read in both orders (a head tied to its embedding) is then stored twice, as a runtime
    keeps it in memory.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    folded = [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in constants]
    for node in folded:
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        array = np.ascontiguousarray(numpy_helper.to_array(constants[node.input[0]]).transpose(order))
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        model.graph.node.remove(node)
    read = _read(model.graph)
    for tensor in {node.input[0]: constants[node.input[0]] for node in folded}.values():
        if tensor.name not in read:
            model.graph.initializer.remove(tensor)
    return len(folded)


def _read(graph: onnx.GraphProto) -> set[str]:
    """Names that `graph` reads or answers with, and those that graphs inside its nodes do (If, Loop)."""
    names = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    inner = [a for node in graph.node for a in node.attribute]
    return names.union(*(_read(part) for a in inner for part in (a.g, *a.graphs)))


def gemm_to_matmul(model: onnx.ModelProto) -> int:
    """Rewrite each Gemm of a constant weight in place; return how many.

    alpha and a transposed weight go into the weight, beta into a constant bias. A Gemm of two activations,
    of transposed data, or with a scaled bias that is no constant stays.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done = 0
    for node in model.graph.node:
        parts = _rewritten(node, constants) if node.op_type == "Gemm" else None
        if parts is None:
            nodes.append(node)
            continue
        new_nodes, arrays = parts
        done += 1
        nodes += new_nodes
        model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    if done:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        _drop_unused(model)
    return done


def _rewritten(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[list[onnx.NodeProto], dict[str, Any]] | None:
    """The nodes that replace a Gemm and their new constants, or None where it has to stay."""
    from onnx import helper, numpy_helper

    settings = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    settings |= {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    weight = constants.get(node.input[1])
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled_bias = bool(bias) and settings["beta"] != 1.0
    if weight is None or settings["transA"] or (scaled_bias and bias not in constants):
        return None
    out = node.output[0]
    stem = out  # names of outputs are unique, those of nodes need not be
    array = numpy_helper.to_array(weight)
    array = np.ascontiguousarray(array.T if settings["transB"] else array) * array.dtype.type(
        settings["alpha"]
    )
    arrays = {f"{stem}/weight": array}
    product = f"{stem}/product" if bias else out
    nodes = [helper.make_node("MatMul", [node.input[0], f"{stem}/weight"], [product], name=f"{stem}/MatMul")]
    if scaled_bias:
        constant = numpy_helper.to_array(constants[bias])
        arrays[f"{stem}/bias"] = constant * constant.dtype.type(settings["beta"])
        bias = f"{stem}/bias"
    if bias:
        nodes.append(helper.make_node("Add", [product, bias], [out], name=f"{stem}/Add"))
    return nodes, arrays


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove the initializers that nothing reads any more."""
    read = {name for node in model.graph.node for name in node.input}
    read |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    gone = {tensor.name for tensor in model.graph.initializer} - read
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    inputs = [value for value in model.graph.input if value.name not in gone]  # old files list weights here
    del model.graph.input[:]
    model.graph.input.extend(inputs)
