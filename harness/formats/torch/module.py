"""The format ``torch-module``: a factory's name, the attributes that a step changed, and safetensors weights.

Nothing is pickled: loading calls the factory again, sets the changed attributes (a pruned layer's width) and
puts the saved tensors in place, also those outside the state dict that differ from the factory's. Torch is
imported inside the functions.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.formats.outputs import Examined
from harness.formats.registry import FORMATS, Format
from harness.formats.tensors import TensorSpec
from harness.formats.torch.examine import Examination
from harness.formats.torch.execution import set_execution
from harness.formats.torch.export import example_tensors
from harness.formats.torch.folding import computes_weights, fold_weights
from harness.formats.torch.lines import module_lines
from harness.formats.torch.settings import settings_kept
from harness.formats.torch.state import differing, named_state, outside_state, refuse_unsaved
from harness.formats.torch.structure import changed_attributes, settle
from harness.formats.torch.work import count_module
from harness.formats.user_function import import_function

if TYPE_CHECKING:
    import torch

FORMAT = "torch-module"
DESCRIPTION, WEIGHTS, OUTSIDE = "module.json", "weights.safetensors", "outside.safetensors"


def call_factory(reference: str, kwargs: dict[str, Any] | None = None) -> torch.nn.Module:
    """Import `reference` (``package.module:function``), call it and return its module in eval mode.

    What the code sets in the process, such as threads or the default dtype, is put back. Raises DataError
    when it cannot be imported, raises an error itself, or returns no `torch.nn.Module`.
    """
    import torch

    with settings_kept():
        try:
            factory = import_function(reference)
        except Exception as error:  # a user's module may raise anything
            raise DataError(
                f"the factory {reference!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        try:
            module = factory(**(kwargs or {}))
        except Exception as error:
            raise DataError(f"the factory {reference!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise DataError(f"the factory {reference!r} returned {type(module).__name__}, not a torch.nn.Module")
    return in_eval_mode(getattr(module, "_orig_mod", module))  # without torch.compile, a technique here


def in_eval_mode(module: torch.nn.Module) -> torch.nn.Module:
    """Set eval mode and return `module`, whatever its own `eval` returns.

    The module of an exported program has no modes.
    """
    with contextlib.suppress(NotImplementedError):
        module.eval()
    return module


def _made_by(description: dict[str, Any]) -> torch.nn.Module:
    """Call the factory with the random numbers that it had when the model was saved first.

    Weights that it computes in each call are folded where a step has done so.
    """
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(description["seed"])
        module = call_factory(description["factory"], description["kwargs"])
    module = copy.deepcopy(module) if description["keeps"] else module
    return fold_weights(module) if description["folded"] and computes_weights(module) else module


def save_module(
    module: torch.nn.Module,
    folder: Path,
    factory: str,
    kwargs: dict[str, Any],
    execution: dict[str, Any] | None = None,
    *,
    inputs: tuple[TensorSpec, ...] = (),
    seed: int | None = None,
) -> None:
    """Save `module`, which `factory(**kwargs)` made and a step may have changed, into `folder`.

    `execution` holds how it is called where that is not PyTorch's default (execution.py). `inputs` are needed
    by modules that find their widths in the first call. The factory was called when torch's seed was `seed`,
    by default that which it has now. Raises BuildError when the module's structure changed: save it as a
    `torch-program` (program.py) then.
    """
    import torch
    from safetensors.torch import save_file

    description: dict[str, Any] = {
        "factory": factory,
        "kwargs": kwargs,
        "execution": execution or {},
        "seed": torch.initial_seed() % 2**63 if seed is None else seed,
        "keeps": False,
        "folded": False,
    }
    fresh = _made_by(description)
    if computes_weights(fresh) and not computes_weights(module):
        description["folded"], fresh = True, fold_weights(fresh)
    description["keeps"] = fresh is module  # the factory keeps its module and returns it again
    if any(isinstance(part, torch.nn.modules.lazy.LazyModuleMixin) for part in module.modules()):
        with torch.no_grad():
            module(*example_tensors(inputs, 2, 0))
    description["attributes"] = changed_attributes(module, fresh, factory, lambda: _made_by(description))
    refuse_unsaved(module, fresh)
    tensors, description["aliases"] = unique_tensors(module)
    outside = {path: t.detach().cpu() for path, t in outside_state(module).items()}
    known = {path: t.detach().cpu() for path, t in outside_state(fresh).items()}
    save_file(tensors, str(folder / WEIGHTS))
    if changed := differing(outside, known):
        save_file({path: t.contiguous().clone() for path, t in changed.items()}, str(folder / OUTSIDE))
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def save_changed(module: torch.nn.Module, source: Path, folder: Path, **execution: Any) -> None:
    """Save into `folder` the module that was loaded from `source` and changed by a step.

    `execution` is what the step adds to dtype and memory layout.
    """
    known = json.loads((source / DESCRIPTION).read_text())
    merged = {**known["execution"], **execution}
    save_module(module, folder, known["factory"], known["kwargs"], merged, seed=known["seed"])


def load_folded(folder: Path) -> torch.nn.Module:
    """Load the module for a step that needs plain weights: those that it computes in each call are folded."""
    return fold_weights(load_module(folder))


def load_module(folder: Path) -> torch.nn.Module:
    """Load the module that `save_module` saved, in eval mode and without gradients."""
    from safetensors.torch import load_file

    description = json.loads((folder / DESCRIPTION).read_text())
    module = _made_by(description)
    for part in module.modules():
        settle(part)
    parts = dict(module.named_modules())
    for name, attributes in description["attributes"].items():
        for key, value in attributes.items():
            setattr(parts[name], key, tuple(value) if isinstance(value, list) else value)
    place_tensors(module, load_file(str(folder / WEIGHTS)), description["aliases"])
    if (folder / OUTSIDE).is_file():
        outside = outside_state(module)
        for path, tensor in load_file(str(folder / OUTSIDE)).items():
            outside[path].data = tensor
    set_execution(module, description["execution"])
    for parameter in module.parameters():  # a scripted module has no requires_grad_
        parameter.requires_grad_(False)
    return in_eval_mode(module)


def place_tensors(
    module: torch.nn.Module, tensors: dict[str, torch.Tensor], aliases: dict[str, str] | None = None
) -> None:
    """Replace parameters and buffers by `tensors`, whatever their shapes.

    Of names that share a parameter in the module (tied weights), one is enough. Raises DataError for missing
    or unknown names.
    """
    expected = set(named_state(module))
    given = {**tensors, **{alias: tensors[name] for alias, name in (aliases or {}).items()}}
    firsts: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = firsts.setdefault(id(parameter), name)
        if name not in given and first in given:
            given[name] = given[first]
    if missing := sorted(expected - set(given)):
        raise DataError(f"the weights lack {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}")
    if unknown := sorted(set(given) - expected):
        raise DataError(f"the model has no {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}")
    parameters: dict[int, torch.nn.Parameter] = {}
    parts = dict(module.named_modules(remove_duplicate=False))
    for name, tensor in given.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = parts[owner_name]
        if leaf in owner._parameters:
            if id(tensor) not in parameters:
                parameters[id(tensor)] = _filled(owner._parameters[leaf], tensor, parameters.values())
            owner._parameters[leaf] = parameters[id(tensor)]
        else:
            owner._buffers[leaf] = tensor


def _filled(
    parameter: torch.nn.Parameter | None, tensor: torch.Tensor, taken: Iterable[torch.nn.Parameter]
) -> torch.nn.Parameter:
    """Put `tensor` into a parameter, which the module may also hold elsewhere, such as in a list.

    A new one is made where a tied parameter is `taken` by another tensor.
    """
    import torch

    used = any(parameter is one for one in taken)
    if used or type(parameter) is not torch.nn.Parameter or parameter.is_meta:
        return torch.nn.Parameter(tensor, requires_grad=False)
    parameter.requires_grad_(False)
    parameter.data = tensor
    return parameter


def examine(folder: Path, inputs: tuple[TensorSpec, ...]) -> Examined:
    """Run the module as given; store how it must be called, and return its outputs and what to tell."""
    examination = Examination(load_module(folder), inputs)
    examined = examination.run()
    description = json.loads((folder / DESCRIPTION).read_text())
    description["execution"] |= examination.execution
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))
    return examined


def unique_tensors(module: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Split a module's state into tensors and the names that share one of them (tied weights)."""
    state = named_state(module)
    aliases = shared_names(state)
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in state.items()
        if name not in aliases
    }, aliases


def shared_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Return, for each name whose tensor has an earlier name as well, that name."""
    owners: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in owners:
            aliases[name] = owners[place]
        else:
            owners[place] = name
    return aliases


FORMATS.add(
    FORMAT,
    Format(
        FORMAT,
        "PyTorch module: factory, changed attributes, safetensors weights",
        lambda folder, inputs: count_module(load_module(folder), inputs),
        holds_code=False,
        examine=examine,
        runnable=lambda folder, device: (load_module(folder).to(device), None),
        torch_lines=module_lines,
    ),
)
