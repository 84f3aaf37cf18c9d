"""A PyTorch module run once, each operator looked at as it runs. Torch is imported inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Look = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Told an operator (an OpOverloadPacket), its arguments, those by name, and its result."""


def watch_operators(module: torch.nn.Module, example: tuple[torch.Tensor, ...], look: Look) -> None:
    """Run `module` on `example` without gradients, and tell `look` of each operator after it ran."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch types it in part
        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            look(function._overloadpacket, args, kwargs or {}, result)
            return result

    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        module(*example)
