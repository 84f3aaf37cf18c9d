"""The format ``torch-program``: a `torch.export` program with its weights, for a changed structure.

A factory and changed attributes (module.py) cannot describe a module that lost a block or gained a layer; the
exported graph can. Weights are stored as plain tensors. Torch is imported inside the functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, describe
from harness.formats.outputs import Examined
from harness.formats.registry import FORMATS, Format
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.examine import examine_file
from harness.formats.torch.export import batch_shapes, example_tensors, quiet_exporter
from harness.formats.torch.failures import exporting
from harness.formats.torch.lines import program_lines
from harness.formats.torch.outputs import flat_outputs
from harness.formats.torch.work import count_module

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

FORMAT = "torch-program"
PROGRAM = "program.pt2"
AXES = "axes.json"
"""The inputs' batch axes, where one is not 0."""


def save_program(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], folder: Path, *, batch: int, seed: int = 0
) -> dict[str, Any]:
    """Export `module` in eval mode and save it into `folder`; return details for the Record.

    The batch is free where the export allows it, else fixed to `batch`, which is why a step that saves
    programs has ``specialize_on=("batch",)``. Raises BuildError when the module cannot be exported or holds
    what only a pickle could store.
    """
    torch_module.in_eval_mode(module.requires_grad_(False))
    details: dict[str, Any] = {"free_batch": True}
    try:
        program = _export(module, example_tensors(inputs, 2, seed), batch_shapes(module, inputs))
    except Exception as free:  # torch.export raises errors of many classes
        with exporting("torch cannot export the module", module):
            program = _export(module, example_tensors(inputs, batch, seed), None)
        details = {"free_batch": False, "batch": batch, "fixed_because": describe(free)}
    store(program, folder, inputs)
    return details


def store(program: ExportedProgram, folder: Path, inputs: tuple[TensorSpec, ...]) -> None:
    """Save `program` into `folder`, without this machine's paths. Raises BuildError if it needs a pickle."""
    import torch

    for name, value in {**program.state_dict, **program.constants}.items():
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise BuildError(f"{name!r} is a {type(value).__name__}: a program stores plain tensors only")
    if any(spec.batch_axis != 0 for spec in inputs):
        (folder / AXES).write_text(json.dumps([spec.batch_axis for spec in inputs]))
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    with quiet_exporter():
        torch.export.save(program, folder / PROGRAM)


def _export(module: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: Any) -> ExportedProgram:
    import torch

    with quiet_exporter(), torch.no_grad(), flat_outputs(module):
        return torch.export.export(module, example, dynamic_shapes=shapes)


def load_program(folder: Path) -> ExportedProgram:
    """Load the program that `save_program` saved."""
    import torch

    return torch.export.load(folder / PROGRAM)


def inputs_of(program: ExportedProgram) -> list[tuple[str, Any]]:
    """Return the program's inputs, each with its name and, for a tensor, one that has its shape and dtype."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [(name, nodes[name].meta.get("val")) for name in program.graph_signature.user_inputs]


def take_positional(program: ExportedProgram) -> None:
    """Let `program` take its inputs one after the other, even if it was exported with names or in a tree."""
    from torch.utils._pytree import tree_structure

    signature = program.module_call_graph[0].signature
    count = len(program.graph_signature.user_inputs)
    signature.in_spec = tree_structure((tuple(range(count)), {}))
    signature.forward_arg_names = None
    program.example_inputs = None


def fixed_batch(
    program: ExportedProgram, folder: Path | None = None, *, axes: Sequence[int | None] = ()
) -> int | None:
    """Return the only batch that the program takes, or None when any will do.

    `axes` say where the batch is, or its Artifact's `folder`; else it is the first dimension.
    """
    names = program.graph_signature.user_inputs
    shapes = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.name in names}
    place = folder / AXES if folder else None
    noted = json.loads(place.read_text()) if place and place.is_file() else [0] * len(names)
    axes = axes or noted
    batches = [
        shapes[name][axis]
        for name, axis in zip(names, axes, strict=True)
        if axis is not None and shapes[name]
    ]
    return next((size for size in batches if isinstance(size, int)), None)


def as_module(program: ExportedProgram, device: str = "cpu") -> torch.nn.Module:
    """Return the program as a module on `device`, weights that share memory as one parameter.

    The guards that check each call's shapes are left out: a module that was not exported has none.
    """
    from torch.export.passes import move_to_device_pass

    aliases = torch_module.shared_names(program.state_dict)
    if device != "cpu":  # devices are written into the graph as well
        program = move_to_device_pass(program, device)
    module = program.module(check_guards=False)
    for alias, name in aliases.items():
        owner, _, leaf = alias.rpartition(".")
        part = module.get_submodule(owner)
        if leaf in part._parameters:
            part._parameters[leaf] = module.get_parameter(name)
    return module.requires_grad_(False)


def load_runnable(format: str, folder: Path, device: str = "cpu") -> tuple[torch.nn.Module, int | None]:
    """Load what torch can run (`Format.runnable`) onto `device`; return it and its fixed batch, if any.

    The module is as given: for an export, fold its weights (folding.py).
    """
    runnable = {entry.name: entry.runnable for entry in FORMATS.registered()}  # loads no plug-in
    load = runnable[format]
    assert load is not None  # noqa: S101 (callers take such formats only)
    return load(folder, device)


def _load_runnable(folder: Path, device: str) -> tuple[torch.nn.Module, int | None]:
    program = load_program(folder)
    return as_module(program, device), fixed_batch(program, folder)


def _examine(folder: Path, inputs: tuple[TensorSpec, ...]) -> Examined:
    program = load_program(folder)
    return examine_file(as_module(program), inputs, fixed_batch(program, folder))


def count_statistics(folder: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """Count what `count_module` counts."""
    program = load_program(folder)
    return count_module(as_module(program), inputs, fixed_batch(program, folder))


FORMATS.add(
    FORMAT,
    Format(
        FORMAT,
        "torch.export program: graph and weights",
        count_statistics,
        examine=_examine,
        runnable=_load_runnable,
        torch_lines=program_lines,
    ),
)
