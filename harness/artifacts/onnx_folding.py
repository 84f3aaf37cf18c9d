"""Transposed weights of an ONNX graph, written down as they are read: quantizers look for constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
