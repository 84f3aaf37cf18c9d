"""One preparation of ONNX graphs, for all steps and runtimes: what a graph computes stays the same.

Exporters write one network in many forms. Steps look for weights among initializers, for nodes by name, and
for what computes a tensor before what reads it.
"""

from __future__ import annotations

from pathlib import Path
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


def check(model: onnx.ModelProto, path: Path) -> None:
    """Raise what onnx's checker raises for `model`, loaded from `path`, and mend what ONNX Runtime takes.

    That is a graph without a name, nodes that are not in topological order, and operators of a domain that
    the file does not import; they are mended in place. Inputs and outputs may lack a shape.
    """
    import onnx

    moved = [sort_nodes(graph) for graph in graphs(model.graph)]
    unnamed = not model.graph.name
    model.graph.name = model.graph.name or "graph"
    missing = {node.domain for node in nodes(model)} - {opset.domain for opset in model.opset_import}
    for domain in sorted(missing - _STANDARD):
        model.opset_import.add(domain=domain, version=1)
    types = [value.type.tensor_type for value in (*model.graph.input, *model.graph.output)]
    shapeless = [each for each in types if each.elem_type and not each.HasField("shape")]
    for each in shapeless:
        each.shape.SetInParent()  # until it is checked
    mended = any(moved) or unnamed or bool(missing - _STANDARD) or bool(shapeless)
    onnx.checker.check_model(model if mended else str(path))  # a file may have more than 2 GiB
    for each in shapeless:
        each.ClearField("shape")


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
