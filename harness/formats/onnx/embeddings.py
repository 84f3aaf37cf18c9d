"""Inputs that select rows of an embedding table: their values must be below its number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

SAME_VALUES = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators whose first output holds the values of their first input."""


def table_rows(model: onnx.ModelProto) -> dict[str, int]:
    """Return the rows of the smallest table that each input of the graph selects from, by input name.

    A table is a weight that Gather reads by its first axis; inputs that select from none are left out.
    """
    tables = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) == 2}
    origin = {value.name: value.name for value in model.graph.input if value.name not in tables}
    found: dict[str, int] = {}
    for node in model.graph.node:  # in the order of computation
        first = node.input[0] if node.input else ""
        if node.op_type in SAME_VALUES and first in origin:
            origin[node.output[0]] = origin[first]
        elif node.op_type == "Identity" and first in tables:
            tables[node.output[0]] = tables[first]
        elif node.op_type == "Gather" and first in tables and not any(one.i for one in node.attribute):
            name = origin.get(node.input[1])  # its only attribute is the axis
            if name is not None:
                found[name] = min(found.get(name, tables[first]), tables[first])
    return found
