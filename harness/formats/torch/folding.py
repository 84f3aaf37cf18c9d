"""Weights that a module computes anew in each call (weight norm, spectral norm, masks), computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import BuildError

if TYPE_CHECKING:
    import torch


def fold_weights(module: torch.nn.Module) -> torch.nn.Module:
    """Replace computed weights of `module`, in eval mode, by plain parameters of the same values.

    Those are parametrizations of any kind, the older weight norm and spectral norm, and the masks of
    `torch.nn.utils.prune`. Exporters and quantizers then see constant weights and ordinary layers. Raises
    BuildError, with the layer, for what none of them takes: scripted modules and packed (quantized) weights.
    """
    from torch.nn.utils import parametrize

    _refuse_opaque(module)
    for part in module.modules():
        if parametrize.is_parametrized(part):
            for original in part.parameters():  # else torch makes a buffer of the weight
                original.requires_grad_(original.is_floating_point())
            for name in list(part.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)
        for fold in _hooks(part):
            fold()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _refuse_opaque(module: torch.nn.Module) -> None:
    import torch

    for name, part in module.named_modules():
        layer = f"layer {name.removesuffix('._packed_params')!r}" if name else "the model"
        if isinstance(part, torch.jit.ScriptModule):
            raise BuildError(
                f"{layer} is a scripted module (torch.jit), which torch cannot export or change: "
                "return the module before torch.jit.script or torch.jit.trace"
            )
        if any(isinstance(value, torch.ScriptObject) for value in vars(part).values()):
            raise BuildError(
                f"{layer} holds packed quantized weights "
                "(torch.ao), which torch cannot export or change: give the float model, and quantize it here"
            )


def computes_weights(module: torch.nn.Module) -> bool:
    """Whether `fold_weights` would change something."""
    from torch.nn.utils import parametrize

    return any(parametrize.is_parametrized(part) or _hooks(part) for part in module.modules())


def _hooks(part: torch.nn.Module) -> list[Any]:
    """Return functions that remove the hooks by which `part` computes a weight, and keep its value."""
    from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    found: list[Any] = []
    for hook in part._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            found.append(lambda name=hook.name: remove_weight_norm(part, name))
        elif isinstance(hook, SpectralNorm):
            found.append(lambda name=hook.name: remove_spectral_norm(part, name))
        elif isinstance(hook, prune.BasePruningMethod):
            found.append(lambda name=hook._tensor_name: prune.remove(part, name))  # type: ignore[no-untyped-call]
    return found
