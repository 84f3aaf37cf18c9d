"""The tensors that a module holds: those of its state dict, and those that a state dict leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.formats.outputs import leaves

if TYPE_CHECKING:
    import torch

PLAIN = (int, float, bool, str, type(None))


def named_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and persistent buffers by name; tied ones have several names."""
    found: dict[str, torch.Tensor] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        left_out = getattr(part, "_non_persistent_buffers_set", ())
        buffers = [(name, one) for name, one in part._buffers.items() if name not in left_out]
        for name, tensor in (*part._parameters.items(), *buffers):
            if tensor is not None:
                found[f"{prefix}.{name}" if prefix else name] = tensor
    return found


def outside_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return by path the tensors that a state dict leaves out, each once.

    These are buffers with ``persistent=False``, plain attributes, and what is in lists, tuples, dicts and
    modules that are attributes. A tensor that a hook computes anew in each call (weight norm, pruning
    masks) is left out.
    """
    seen = {id(tensor) for tensor in named_state(module).values()}
    registered = {id(part) for part in module.modules()}
    found: dict[str, torch.Tensor] = {}
    for prefix, part in module.named_modules():
        for path, tensor in _unregistered(part, prefix, registered):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                found[path] = tensor
    return found


def _unregistered(
    part: torch.nn.Module, prefix: str, registered: set[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    computed = {
        getattr(hook, "name", getattr(hook, "_tensor_name", None))
        for hook in part._forward_pre_hooks.values()
    }
    left_out = getattr(part, "_non_persistent_buffers_set", ())
    buffers = {name: tensor for name, tensor in part._buffers.items() if name in left_out}
    for name, value in {**buffers, **attributes_of(part)}.items():
        if name not in computed:
            yield from _tensors(value, f"{prefix}.{name}" if prefix else name, registered)


def _tensors(value: Any, path: str, registered: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(part, f"{path}.{key}", registered)
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _tensors(part, f"{path}.{number}", registered)
    elif isinstance(value, torch.nn.Module) and id(value) not in registered:
        registered.add(id(value))
        for name, part in value.named_modules():
            registered.add(id(part))
            inner = f"{path}.{name}" if name else path
            for key, tensor in (*part._parameters.items(), *part._buffers.items()):
                if tensor is not None:
                    yield f"{inner}.{key}", tensor
            yield from _unregistered(part, inner, registered)


def attributes_of(part: torch.nn.Module) -> dict[str, Any]:
    """Return a module's own attributes, also those in ``__slots__``, without what every module has."""
    import torch

    base = vars(torch.nn.Module())
    slots = [name for cls in type(part).__mro__ for name in _slots(cls)]
    held = {name: getattr(part, name) for name in slots if hasattr(part, name)}
    return held | {key: value for key, value in vars(part).items() if key not in base}


def _slots(cls: type) -> tuple[str, ...]:
    names = vars(cls).get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(one for one in names if not one.startswith("__"))


def plain_attributes(part: torch.nn.Module) -> dict[str, Any]:
    """Return public attributes with plain values: those that a step sets when it changes widths."""
    return {
        key: value
        for key, value in attributes_of(part).items()
        if not key.startswith("_")
        and (
            isinstance(value, PLAIN)
            or (isinstance(value, (tuple, list)) and all(isinstance(v, PLAIN) for v in value))
        )
    }


def differing(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of `ours` that are not the same in `theirs`."""
    return {
        name: tensor for name, tensor in ours.items() if name not in theirs or not _same(tensor, theirs[name])
    }


def _same(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
            return False
        return bool(torch.equal(one, other) or (one.is_floating_point() and _equal_with_nan(one, other)))
    return bool(one == other)


def _equal_with_nan(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def refuse_unsaved(module: torch.nn.Module, fresh: torch.nn.Module) -> None:
    """Raise DataError for what a file of tensors cannot hold: no values at all, or packed weights.

    Packed (quantized) weights are no fault where the factory makes the same ones in each call.
    """
    import torch

    for name, tensor in {**named_state(module), **outside_state(module)}.items():
        if tensor.is_meta or torch.nn.parameter.is_lazy(tensor):
            raise DataError(
                f"{name!r} has no values: the factory leaves it on the meta device, or uninitialized; "
                "load the weights in the factory, or give a safetensors file under weights"
            )
    packed = {
        key: leaves(value)
        for key, value in module.state_dict().items()
        if not isinstance(value, torch.Tensor)
    }
    again = fresh.state_dict() if packed else {}
    for key, parts in packed.items():
        others = leaves(again.get(key))
        if len(parts) != len(others) or not all(map(_same, parts, others)):
            raise DataError(
                f"{key!r} is packed, and the factory makes other values in each call: quantized weights can "
                "only be loaded again by the factory itself; seed it, or load them there"
            )
