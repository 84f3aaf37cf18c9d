"""Equivalent rewrites of ONNX graphs: known input shapes; constant weights, MatMul instead of Gemm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.onnx.flops import is_product
from harness.formats.onnx.inputs import graph_inputs, write_axes
from harness.formats.onnx.structure import BATCH, drop_unused
from harness.formats.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx


def fix_inputs(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> None:
    """Call the free batch of all inputs `BATCH`, and give their other free dimensions the sizes in `specs`.

    `specs` are in the order of the inputs. Outputs and inner values that name such a dimension follow.
    """
    write_axes(model, specs)
    meanings: dict[str, set[int | str]] = {}
    for value, spec in zip(graph_inputs(model), specs, strict=True):
        dims = value.type.tensor_type.shape.dim
        sizes: list[int | str] = list(spec.shape)
        if spec.batch_axis is not None:
            sizes.insert(spec.batch_axis, BATCH)
        while len(dims) < len(sizes):  # a graph may leave the rank unknown
            dims.add()
        for dim, size in zip(dims, sizes, strict=True):
            if not dim.HasField("dim_value"):
                meanings.setdefault(dim.dim_param, set()).add(size)
                _set_size(dim, size)
    for value in (*model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and len(meant := meanings.get(dim.dim_param, set())) == 1:
                _set_size(dim, *meant)


def _set_size(dim: onnx.TensorShapeProto.Dimension, size: int | str) -> None:
    if isinstance(size, int):
        dim.dim_value = size  # which clears the name
    else:
        dim.dim_param = size


def fold_constants(model: onnx.ModelProto, types: Collection[str] = ("Transpose",)) -> Counter[str]:
    """Compute the nodes of these types that read only initializers, in place; return their numbers by type.

    A weight that is read in two forms (a head tied to its embedding) is then stored twice, as runtimes keep
    it in memory.
    """
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    versions = {opset.domain: opset.version for opset in model.opset_import}
    folded: list[onnx.NodeProto] = []
    for node in model.graph.node:
        names = [name for name in node.input if name]
        if node.op_type in types and constants.keys() >= {*names} and node.output[0] not in outputs:
            given = {name: numpy_helper.to_array(constants[name]) for name in names}
            (array,) = ReferenceEvaluator(node, opsets=versions).run(None, given)
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), node.output[0])
            model.graph.initializer.append(tensor)
            constants[tensor.name] = tensor
            folded.append(node)
    for node in folded:
        model.graph.node.remove(node)
    if folded:
        drop_unused(model)
    return Counter(node.op_type for node in folded)


_SCALES = ("alpha", "beta")


def gemm_to_matmul(model: onnx.ModelProto, *, scaled: bool = False) -> int:
    """Rewrite each Gemm of a constant weight to MatMul and Add, in place; return how many were rewritten.

    alpha and the transposition go into the weight, beta into a constant bias. A Gemm of two activations, of
    transposed data, or with a scaled bias that is not constant is kept. With `scaled`, only those with an
    alpha or beta are rewritten, of which ONNX Runtime's static quantizer computes something else.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in model.graph.node:
        wanted = node.op_type == "Gemm" and (
            not scaled or any(a.f != 1 for a in node.attribute if a.name in _SCALES)
        )
        parts = _rewritten(node, constants) if wanted else None
        if parts is None:
            nodes.append(node)
            continue
        new_nodes, arrays = parts
        count += 1
        nodes += new_nodes
        model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    if count:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        drop_unused(model)
    return count


def _rewritten(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[list[onnx.NodeProto], dict[str, Any]] | None:
    """Return the nodes that replace a Gemm and their new constants, or None where it is kept."""
    from onnx import helper, numpy_helper

    settings = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    settings |= {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    weight = constants.get(node.input[1])
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled_bias = bool(bias) and settings["beta"] != 1.0
    if weight is None or settings["transA"] or (scaled_bias and bias not in constants):
        return None
    out = node.output[0]  # unique, which a node's name need not be
    array = numpy_helper.to_array(weight)
    array = np.ascontiguousarray(array.T if settings["transB"] else array) * array.dtype.type(
        settings["alpha"]
    )
    arrays = {f"{out}/weight": array}
    product = f"{out}/product" if bias else out
    nodes = [
        helper.make_node(
            "MatMul", [node.input[0], f"{out}/weight"], [product], name=node.name or f"{out}/MatMul"
        )
    ]
    if scaled_bias:
        constant = numpy_helper.to_array(constants[bias])
        arrays[f"{out}/bias"] = constant * constant.dtype.type(settings["beta"])
        bias = f"{out}/bias"
    if bias:
        nodes.append(helper.make_node("Add", [product, bias], [out], name=f"{out}/Add"))
    return nodes, arrays


def unshare_weights(model: onnx.ModelProto) -> None:
    """Give layers that read one weight in different ways a copy each, in place.

    A quantizer stores each weight once, with scales along one axis: those of a Gemm's transposed weight would
    be wrong for a MatMul.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    ways: dict[str, list[tuple[str, int]]] = {}
    for node in model.graph.node:
        place = 0 if node.op_type == "Gather" else 1
        if (node.op_type != "Gather" and not is_product(node)) or node.input[place] not in constants:
            continue
        name = node.input[place]
        way = (node.op_type, int(any(a.name == "transB" and a.i for a in node.attribute)))
        found = ways.setdefault(name, [])
        if way not in found:
            found.append(way)
            if len(found) > 1:
                model.graph.initializer.add().CopyFrom(constants[name])
                model.graph.initializer[-1].name = _copy_name(name, way)
        if found[0] != way:
            node.input[place] = _copy_name(name, way)


def _copy_name(name: str, way: tuple[str, int]) -> str:
    return f"{name}/{way[0]}{way[1] or ''}"
