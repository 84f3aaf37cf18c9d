"""One preparation of ONNX graphs, for all steps and runtimes: what a graph computes stays the same.

Exporters write one network in many forms. Steps look for weights among initializers, for nodes by name, and
for what computes a tensor before what reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.onnx.structure import (
    bypass_identities,
    drop_constant_inputs,
    graphs,
    lift_constants,
    name_nodes,
    nodes,
    sort_nodes,
)

if TYPE_CHECKING:
    import onnx

_STANDARD = {"", "ai.onnx"}


def repair(model: onnx.ModelProto) -> bool:
    """Mend in place what ONNX Runtime takes and onnx's checker does not; return whether there was anything.

    That is a graph without a name, nodes that are not in topological order, and operators of a domain that
    the file does not import.
    """
    moved = [sort_nodes(graph) for graph in graphs(model.graph)]
    unnamed = not model.graph.name
    if unnamed:
        model.graph.name = "graph"
    known = _STANDARD | {opset.domain for opset in model.opset_import}
    missing = sorted({node.domain for node in nodes(model)} - known)
    for domain in missing:
        model.opset_import.add(domain=domain, version=1)
    return any(moved) or unnamed or bool(missing)


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in the one form that steps know; `model` may be changed.

    Local functions are inlined; sparse weights, Constant nodes and weights behind Identity nodes become
    initializers, which no input lists; each node has a name of its own.
    """
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    lift_constants(model)
    drop_constant_inputs(model)
    bypass_identities(model.graph)
    name_nodes(model)
    return model
