"""How a module is called: dtype, memory layout, copies and names of inputs, whatever its own code expects."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.formats.outputs import map_leaves

if TYPE_CHECKING:
    import torch

CHANNELS_LAST = "channels-last"
_SINGLE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
BY_NAME, AS_DICT = "keywords", "dict"
"""Ways to pass the inputs: by name, or in one dict by name."""


def set_execution(module: torch.nn.Module, execution: dict[str, Any]) -> None:
    """Make `module` compute as `execution` says, whatever arrays it is given.

    ``dtype`` (bfloat16, float16, float64) is the dtype of its parameters: float inputs are cast to it and
    float outputs to float32. ``layout`` (channels-last) is the memory order of convolution weights and of
    input images. ``copied`` are positions of inputs that the module changes: it gets a copy. ``own_outputs``:
    outputs are copied, since the module returns memory that its next call changes. ``call`` (keywords, dict)
    and ``names`` say how inputs are passed. All but the last are hooks, so that names and structure do not
    change.
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
    if copied := execution.get("copied"):
        module.register_forward_pre_hook(
            lambda _module, inputs: tuple(t.clone() if i in copied else t for i, t in enumerate(inputs))
        )
    if execution.get("own_outputs"):
        module.register_forward_hook(lambda _module, _inputs, result: map_leaves(result, _copied))
    if "call" in execution:
        _pass_inputs(module, execution["call"], execution["names"])


def _copied(leaf: Any) -> Any:
    import torch

    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def _map_floats(value: Any, change: Any) -> Any:
    """Change the float tensors among the leaves of a module's inputs or result."""
    import torch

    def changed(leaf: Any) -> Any:
        return change(leaf) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

    return map_leaves(value, changed)


def _pass_inputs(module: torch.nn.Module, how: str, names: list[str]) -> None:
    """Give `module` a class whose `forward` takes inputs by position and passes them on by name.

    A class, unlike an attribute, is kept when the module is copied.
    """
    cls: Any = type(module)

    def forward(self: Any, *tensors: torch.Tensor) -> Any:
        named = dict(zip(names, tensors, strict=True))
        return cls.forward(self, named) if how == AS_DICT else cls.forward(self, **named)

    about = {"forward": forward, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    module.__class__ = type(cls.__name__, (cls,), about)


def passes_by_name(module: torch.nn.Module, names: list[str]) -> bool:
    """Whether `forward` would take inputs of these names, passed by position, for others or not at all."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # a compiled or scripted function
        return False
    kinds = {parameter.kind for parameter in parameters}
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    if (
        inspect.Parameter.VAR_KEYWORD in kinds
        and inspect.Parameter.VAR_POSITIONAL not in kinds
        and not places
    ):
        return True
    required = {
        p.name for p in parameters if p.name not in names and p.default is p.empty and p.kind in _SINGLE
    }
    return set(names) <= known and not required and places[: len(names)] != names
