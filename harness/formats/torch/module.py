"""The format ``torch-module``: a factory's name, the attributes that a step changed, and safetensors weights.

Nothing is pickled: loading calls the factory again, sets the changed attributes (a pruned layer's width) and
puts the saved tensors in place. Torch is imported inside the functions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, DataError
from harness.formats.registry import FORMATS, Format
from harness.formats.torch.lines import module_lines
from harness.formats.torch.work import count_module
from harness.formats.user_function import import_function

if TYPE_CHECKING:
    import torch

FORMAT = "torch-module"
DESCRIPTION, WEIGHTS = "module.json", "weights.safetensors"
_PLAIN = (int, float, bool, str, type(None))
CHANNELS_LAST = "channels-last"


def call_factory(reference: str, kwargs: dict[str, Any] | None = None) -> torch.nn.Module:
    """Import `reference` (``package.module:function``), call it and return its module in eval mode.

    Raises DataError when it cannot be imported, raises an error itself, or returns no `torch.nn.Module`.
    """
    import torch

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
    return module.eval()


def save_module(
    module: torch.nn.Module,
    folder: Path,
    factory: str,
    kwargs: dict[str, Any],
    execution: dict[str, str] | None = None,
) -> None:
    """Save `module`, which `factory(**kwargs)` made and a step may have changed, into `folder`.

    `execution` holds dtype and memory layout where they are not PyTorch's defaults (`set_execution`).
    Raises BuildError when the module's structure changed: save it as a `torch-program` (program.py) then.
    """
    from safetensors.torch import save_file

    fresh = dict(call_factory(factory, kwargs).named_modules())
    if missing := sorted(set(fresh) - {name for name, _ in module.named_modules()}):
        raise BuildError(f"module {missing[0]!r} of {factory!r} is missing: its structure was changed")
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
    """Save into `folder` the module that was loaded from `source` and changed by a step.

    `execution` is what the step adds to dtype and memory layout.
    """
    description = json.loads((source / DESCRIPTION).read_text())
    merged = {**description.get("execution", {}), **execution}
    save_module(module, folder, description["factory"], description["kwargs"], merged)


def load_module(folder: Path) -> torch.nn.Module:
    """Load the module that `save_module` saved, in eval mode and without gradients."""
    from safetensors.torch import load_file

    description = json.loads((folder / DESCRIPTION).read_text())
    module = call_factory(description["factory"], description["kwargs"])
    parts = dict(module.named_modules())
    for name, attributes in description["attributes"].items():
        for key, value in attributes.items():
            setattr(parts[name], key, tuple(value) if isinstance(value, list) else value)
    place_tensors(module, load_file(str(folder / WEIGHTS)), description["aliases"])
    set_execution(module, description.get("execution", {}))
    return module.requires_grad_(False).eval()


def place_tensors(
    module: torch.nn.Module, tensors: dict[str, torch.Tensor], aliases: dict[str, str] | None = None
) -> None:
    """Replace parameters and buffers by `tensors`, whatever their shapes.

    Of names that share a parameter in the module (tied weights), one is enough. Raises DataError for missing
    or unknown names.
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
    if unknown := sorted(set(given) - expected):
        raise DataError(f"the model has no {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}")
    parameters: dict[int, torch.nn.Parameter] = {}
    for name, tensor in given.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        if leaf in owner._parameters:
            shared = parameters.setdefault(id(tensor), torch.nn.Parameter(tensor, requires_grad=False))
            owner._parameters[leaf] = shared
        else:
            owner._buffers[leaf] = tensor


def set_execution(module: torch.nn.Module, execution: dict[str, str]) -> None:
    """Make `module` compute in the dtype and memory layout of `execution`, whatever arrays it is given.

    ``dtype`` (bfloat16, float16) is the dtype of its parameters: float inputs are cast to it and float
    outputs back to float32. ``layout`` (channels-last) is the memory order of convolution weights and of
    input images. Both are forward hooks, so that names and structure do not change.
    """
    import torch

    def channels_last(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    dtype = getattr(torch, execution["dtype"]) if "dtype" in execution else None
    if execution.get("layout") == CHANNELS_LAST:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its types
        module.register_forward_pre_hook(lambda _module, inputs: _map_floats(inputs, channels_last))
    if dtype is not None:
        module.register_forward_pre_hook(lambda _module, inputs: _map_floats(inputs, lambda t: t.to(dtype)))
        module.register_forward_hook(
            lambda _module, _inputs, result: _map_floats(result, lambda t: t.float())
        )


def _map_floats(value: Any, change: Any) -> Any:
    """Change the float tensors of a tensor, tuple, list or dictionary."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _map_floats(part, change) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([_map_floats(part, change) for part in value])
    return value


def _attributes(part: torch.nn.Module) -> dict[str, Any]:
    """Return public attributes with plain values: those that a step sets when it changes widths."""
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
    """Split a module's state into tensors and the names that share one of them (tied weights)."""
    state = module.state_dict()
    aliases = shared_names(state)
    return {
        name: tensor.detach().contiguous().clone() for name, tensor in state.items() if name not in aliases
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
        runnable=lambda folder, device: (load_module(folder).to(device), None),
        torch_lines=module_lines,
    ),
)
