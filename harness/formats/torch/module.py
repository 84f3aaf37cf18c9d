"""The form ``torch-module``: a factory's name, what a step changed of its modules, and safetensors weights.

Nothing is pickled: loading calls the factory again, sets the changed attributes (a pruned layer's width) and
puts the saved tensors in place. Torch is imported inside the functions.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, DataError
from harness.formats.registry import FORMATS, Format
from harness.formats.tensors import TensorSpec
from harness.formats.torch import execution as torch_execution
from harness.formats.torch.work import count_flops, count_traffic

if TYPE_CHECKING:
    import torch

FORMAT = "torch-module"
DESCRIPTION, WEIGHTS = "module.json", "weights.safetensors"
_PLAIN = (int, float, bool, str, type(None))


def call_factory(reference: str, kwargs: dict[str, Any] | None = None) -> torch.nn.Module:
    """Import `reference` (``package.module:function``), call it and return its module in eval mode.

    Raises DataError when it cannot be imported, raises by itself, or returns no `torch.nn.Module`.
    """
    import torch

    module_name, _, function = reference.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), function)
    except Exception as error:  # a user's module may fail in any way
        raise DataError(
            f"the factory {reference!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    try:
        module = factory(**(kwargs or {}))
    except Exception as error:
        place = inspect.trace()[-1]
        raise DataError(
            f"the factory {reference!r} raised {type(error).__name__}: {error} "
            f"({Path(place.filename).name}:{place.lineno})"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise DataError(f"the factory {reference!r} returned {type(module).__name__}, not a torch.nn.Module")
    return module.eval()


def save_module(
    module: torch.nn.Module,
    folder: Path,
    factory: str,
    kwargs: dict[str, Any],
    execution: dict[str, str] | None = None,
) -> None:
    """Save `module`, made by `factory(**kwargs)` and perhaps changed since, into `folder`.

    `execution` says how it computes where that is not PyTorch's default (torch_execution.py).
    Raises BuildError when loading it back would not give the same tensors.
    """
    from safetensors.torch import save_file

    fresh = dict(call_factory(factory, kwargs).named_modules())
    if gone := sorted(set(fresh) - {name for name, _ in module.named_modules()}):
        raise BuildError(f"module {gone[0]!r} of {factory!r} is gone: its structure was changed")
    changed: dict[str, dict[str, Any]] = {}
    for name, part in module.named_modules():
        if name not in fresh or type(fresh[name]) is not type(part):
            raise BuildError(f"module {name!r} is not what {factory!r} makes: its structure was changed")
        differing = {
            key: value
            for key, value in _attributes(part).items()
            if key not in vars(fresh[name]) or vars(fresh[name])[key] != value
        }
        if differing:
            changed[name] = differing
    tensors, aliases = unique_tensors(module)
    save_file(tensors, str(folder / WEIGHTS))
    description = {"factory": factory, "kwargs": kwargs, "attributes": changed, "aliases": aliases}
    description["execution"] = execution or {}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def save_changed(module: torch.nn.Module, source: Path, folder: Path, **execution: str) -> None:
    """Save into `folder` what a step made of the module that was loaded from `source`.

    `execution` is what the step adds to how it computes.
    """
    description = json.loads((source / DESCRIPTION).read_text())
    computes = {**description.get("execution", {}), **execution}
    save_module(module, folder, description["factory"], description["kwargs"], computes)


def load_module(folder: Path) -> torch.nn.Module:
    """Load what `save_module` saved, in eval mode, gradients off."""
    from safetensors.torch import load_file

    description = json.loads((folder / DESCRIPTION).read_text())
    module = call_factory(description["factory"], description["kwargs"])
    parts = dict(module.named_modules())
    for name, attributes in description["attributes"].items():
        for key, value in attributes.items():
            setattr(parts[name], key, tuple(value) if isinstance(value, list) else value)
    place_tensors(module, load_file(str(folder / WEIGHTS)), description["aliases"])
    torch_execution.set_up(module, description.get("execution", {}))
    return module.requires_grad_(False).eval()


def place_tensors(
    module: torch.nn.Module, tensors: dict[str, torch.Tensor], aliases: dict[str, str] | None = None
) -> None:
    """Replace parameters and buffers by `tensors`, whatever their shapes. Raises DataError for odd names.

    Of names that share a parameter in the module (tied weights) one is enough.
    """
    import torch

    expected = set(module.state_dict())
    given = {**tensors, **{alias: tensors[name] for alias, name in (aliases or {}).items()}}
    firsts: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = firsts.setdefault(id(parameter), name)
        if name not in given and first in given:
            given[name] = given[first]
    if missing := sorted(expected - set(given)):
        raise DataError(f"the weights lack {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}")
    if odd := sorted(set(given) - expected):
        raise DataError(f"the model has no {', '.join(odd[:5])}{' …' if len(odd) > 5 else ''}")
    parameters: dict[int, torch.nn.Parameter] = {}
    for name, tensor in given.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        if leaf in owner._parameters:
            shared = parameters.setdefault(id(tensor), torch.nn.Parameter(tensor, requires_grad=False))
            owner._parameters[leaf] = shared
        else:
            owner._buffers[leaf] = tensor


def count_statistics(folder: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """Count parameters, those not zero, FLOPs of one item (2 × multiply-accumulates), and what it moves.

    FLOPs and activations are left out where an operator hides its arithmetic.
    """
    import torch

    from harness.formats.torch.export import example_tensors

    module = load_module(folder)
    example = example_tensors(inputs, 1, seed=0)
    parameters = list(module.parameters())
    traffic = count_traffic(module, example)
    statistics: dict[str, float] = {
        "parameters": sum(p.numel() for p in parameters),
        "nonzero_parameters": sum(int(torch.count_nonzero(p)) for p in parameters),
    }
    if "activation_bytes" in traffic:
        statistics["flops_per_sample"] = count_flops(module, example)
        statistics["activation_bytes_per_sample"] = traffic.pop("activation_bytes")
    return statistics | traffic


def _attributes(part: torch.nn.Module) -> dict[str, Any]:
    """Public plain attributes of a module: what a structural step changes beside tensors."""
    return {
        key: value
        for key, value in vars(part).items()
        if not key.startswith("_")
        and key != "training"
        and (
            isinstance(value, _PLAIN)
            or (isinstance(value, (tuple, list)) and all(isinstance(v, _PLAIN) for v in value))
        )
    }


def unique_tensors(module: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Split a module's state into tensors and the names that share one (tied weights)."""
    tensors: dict[str, torch.Tensor] = {}
    owners: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in owners:
            aliases[name] = owners[place]
        else:
            owners[place] = name
            tensors[name] = tensor.detach().contiguous().clone()
    return tensors, aliases


FORMATS.add(
    FORMAT,
    Format(
        FORMAT,
        "PyTorch module: factory, changed attributes, safetensors weights",
        count_statistics,
        holds_code=False,
    ),
)
