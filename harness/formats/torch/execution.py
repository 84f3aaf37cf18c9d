"""How a module computes: its type of float and memory layout, set up when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHANNELS_LAST = "channels-last"


def set_up(module: torch.nn.Module, execution: dict[str, str]) -> None:
    """Make `module` compute as `execution` says, whatever arrays come in.

    ``dtype`` (bfloat16, float16) is the type of its parameters: float inputs are cast to it and float
    outputs back to float32. ``layout`` (channels-last) puts convolution weights and images of inputs in that
    order of memory. Both are forward hooks, so that names and structure stay as they are.
    """
    import torch

    dtype = getattr(torch, execution["dtype"]) if "dtype" in execution else None
    if execution.get("layout") == CHANNELS_LAST:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its types
        module.register_forward_pre_hook(lambda _module, inputs: _each(inputs, _channels_last))
    if dtype is not None:
        module.register_forward_pre_hook(lambda _module, inputs: _each(inputs, lambda t: t.to(dtype)))
        module.register_forward_hook(lambda _module, _inputs, result: _each(result, lambda t: t.float()))


def _each(value: Any, change: Any) -> Any:
    """Change the float tensors of a tensor, tuple, list or dictionary."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _each(part, change) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([_each(part, change) for part in value])
    return value


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
