"""The structure of ONNX graphs: graphs inside nodes, what is read, constants, and the order of nodes."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


BATCH = "batch"
"""Name of the free batch of every input in an Artifact. No other dimension of an input is free."""
FIRST_IR = 4
"""The IR version from which initializers need not be inputs as well (onnx, IR.md)."""


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and all graphs inside its nodes (branches of If, bodies of Loop and Scan)."""
    yield graph
    for node in graph.node:
        for inner in graphs_inside(node):
            yield from graphs(inner)


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes, those of graphs inside nodes as well."""
    for graph in graphs(model.graph):
        yield from graph.node


def initializers(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield all weights and other constants, those of graphs inside nodes as well."""
    for graph in graphs(model.graph):
        yield from graph.initializer


def graphs_inside(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def read_by(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tensors that a node reads, those that graphs inside it read included."""
    return {name for name in node.input if name}.union(*map(_read, graphs_inside(node)))


def _read(graph: onnx.GraphProto) -> set[str]:
    return {value.name for value in graph.output}.union(*map(read_by, graph.node))


def lift_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes with numbers, and sparse initializers, into initializers, in place.

    Those of graphs inside nodes become initializers of these graphs.
    """
    from onnx import numpy_helper

    for graph in graphs(model.graph):
        outputs = {value.name for value in graph.output}
        constants = {node.output[0]: _constant(node) for node in graph.node if node.op_type == "Constant"}
        lifted = {name: a for name, a in constants.items() if a is not None and name not in outputs}
        _remove(graph.node, [bool(node.output) and node.output[0] in lifted for node in graph.node])
        lifted |= {sparse.values.name: _dense(sparse) for sparse in graph.sparse_initializer}
        del graph.sparse_initializer[:]
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in lifted.items())
        if lifted:
            model.ir_version = max(model.ir_version, FIRST_IR)


def _constant(node: onnx.NodeProto) -> Any:
    """Return the value of a Constant node as an array; None for text."""
    from onnx import helper, numpy_helper

    (attribute,) = node.attribute
    if attribute.name == "value":
        return numpy_helper.to_array(attribute.t)
    if attribute.name == "sparse_value":
        return _dense(attribute.sparse_tensor)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(helper.get_attribute_value(attribute), np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(helper.get_attribute_value(attribute), np.int64)
    return None


def _dense(sparse: onnx.SparseTensorProto) -> Any:
    """Return a sparse tensor as an array. Its indices are flat, or have a column for each dimension."""
    from onnx import numpy_helper

    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    dense[np.unravel_index(indices, dense.shape) if indices.ndim == 1 else tuple(indices.T)] = values
    return dense


def bypass_identities(graph: onnx.GraphProto) -> None:
    """Read weights themselves where Identity nodes stand before their readers, in place.

    Exporters that merge equal weights write such nodes. An Identity that makes an output stays.
    """
    weights, outputs = {tensor.name for tensor in graph.initializer}, {value.name for value in graph.output}
    known: dict[str, str] = {}
    passed = []
    for node in graph.node:
        given = known.get(node.input[0], node.input[0]) if node.op_type == "Identity" else ""
        passed.append(given in weights and node.output[0] not in outputs)
        if passed[-1]:
            known[node.output[0]] = given
    if known:
        _remove(graph.node, passed)
        _rename_read(graph, known)


def _rename_read(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Read other tensors, by their old and new names, in a graph and in those inside its nodes."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
        for inner in graphs_inside(node):
            for value in inner.output:
                value.name = names.get(value.name, value.name)
            _rename_read(inner, names)


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node of the main graph a unique name, which leaving out nodes by name requires."""
    taken: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{i}"
        while node.name in taken:
            node.name += "_"
        taken.add(node.name)


def sort_nodes(graph: onnx.GraphProto) -> bool:
    """Put nodes behind those whose outputs they read, in place; return whether any had to move."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needs = {i: {makers[n] for n in read_by(node) if n in makers} for i, node in enumerate(graph.node)}
    if all(max(found, default=-1) < i for i, found in needs.items()):
        return False
    nodes = [graph.node[i] for i in graphlib.TopologicalSorter(needs).static_order()]
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def complete(model: onnx.ModelProto, before: onnx.ModelProto) -> onnx.ModelProto:
    """Complete in place what a quantizer made of `before`: each tensor once, nodes in topological order.

    Quantizers look at nodes and not at the graphs inside them: weights that only a branch reads may get lost,
    a node may stand before those whose outputs its branches read, a tensor that only branches read is rounded
    for nobody, and a weight of two products comes twice.
    """
    graph = model.graph
    last = {tensor.name: i for i, tensor in enumerate(graph.initializer)}
    _remove(graph.initializer, [last[tensor.name] != i for i, tensor in enumerate(graph.initializer)])
    given = [*graph.input, *graph.initializer]
    lost = _read(graph) - {value.name for value in given} - {name for n in graph.node for name in n.output}
    graph.initializer.extend(tensor for tensor in before.graph.initializer if tensor.name in lost)
    sort_nodes(graph)
    _drop_dead_nodes(graph)
    drop_unused(model)
    return model


def _drop_dead_nodes(graph: onnx.GraphProto) -> None:
    """Remove the nodes, which are in topological order, whose outputs nothing reads."""
    read = {value.name for value in graph.output}
    dead = []
    for node in reversed(graph.node):
        dead.append(read.isdisjoint(node.output))
        read |= set() if dead[-1] else read_by(node)
    _remove(graph.node, dead[::-1])


def _remove(parts: Any, marked: list[bool]) -> None:
    """Remove the marked parts of a list of a graph; the others, weights perhaps, are not copied."""
    for i in reversed(range(len(parts))):
        if marked[i]:
            del parts[i]


def drop_constant_inputs(model: onnx.ModelProto) -> None:
    """Remove the inputs that list initializers, as old files do: such weights count as variable."""
    model.ir_version = max(model.ir_version, FIRST_IR)
    names = {tensor.name for tensor in model.graph.initializer}
    _remove(model.graph.input, [value.name in names for value in model.graph.input])


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the initializers that nothing reads, and the inputs that list them."""
    read = _read(model.graph)
    unused = {tensor.name for tensor in model.graph.initializer} - read
    for parts in (model.graph.initializer, model.graph.input):
        _remove(parts, [part.name in unused for part in parts])
