"""The format ``torch-program``: a `torch.export` program with its weights, for a changed structure.

A factory and changed attributes (module.py) cannot describe a module that lost a block or gained a layer; the
exported graph can. Weights are stored as plain tensors. Torch is imported inside the functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, describe
from harness.formats.registry import FORMATS, Format
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import batch_shapes, example_tensors, quiet_exporter
from harness.formats.torch.failures import exporting
from harness.formats.torch.outputs import flat_outputs
from harness.formats.torch.work import count_module

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

FORMAT = "torch-program"
PROGRAM = "program.pt2"


def save_program(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], folder: Path, *, batch: int, seed: int = 0
) -> dict[str, Any]:
    """Export `module` in eval mode and save it into `folder`; return details for the Record.

    The batch is free where the export allows it, else fixed to `batch`, which is why a step that saves
    programs has ``specialize_on=("batch",)``. Raises BuildError when the module cannot be exported or holds
    what only a pickle could store.
    """
    import torch

    torch_module.in_eval_mode(module.requires_grad_(False))
    details: dict[str, Any] = {"free_batch": True}
    try:
        program = _export(module, example_tensors(inputs, 2, seed), batch_shapes(module, inputs))
    except Exception as free:  # torch.export raises errors of many classes
        with exporting("torch cannot export the module"):
            program = _export(module, example_tensors(inputs, batch, seed), None)
        details = {"free_batch": False, "batch": batch, "fixed_because": describe(free)}
    for name, value in {**program.state_dict, **program.constants}.items():
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise BuildError(f"{name!r} is a {type(value).__name__}: a program stores plain tensors only")
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    with quiet_exporter():
        torch.export.save(program, folder / PROGRAM)
    return details


def _export(module: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: Any) -> ExportedProgram:
    import torch

    with quiet_exporter(), torch.no_grad(), flat_outputs(module):
        return torch.export.export(module, example, dynamic_shapes=shapes)


def load_program(folder: Path) -> ExportedProgram:
    """Load the program that `save_program` saved."""
    import torch

    return torch.export.load(folder / PROGRAM)


def fixed_batch(program: ExportedProgram) -> int | None:
    """Return the only batch that the program takes, or None when any will do."""
    names = set(program.graph_signature.user_inputs)
    firsts = (node.meta["val"].shape[0] for node in program.graph.nodes if node.name in names)
    return next((size for size in firsts if isinstance(size, int)), None)


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
    """Load a ``torch-module`` or ``torch-program`` onto `device`; return it and its fixed batch, if any.

    The module is as given: for an export, fold its weights (folding.py).
    """
    if format == torch_module.FORMAT:
        return torch_module.load_module(folder).to(device), None
    program = load_program(folder)
    return as_module(program, device), fixed_batch(program)


def count_statistics(folder: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """Count what `count_module` counts."""
    program = load_program(folder)
    return count_module(as_module(program), inputs, fixed_batch(program))


FORMATS.add(FORMAT, Format(FORMAT, "torch.export program: graph and weights", count_statistics))
