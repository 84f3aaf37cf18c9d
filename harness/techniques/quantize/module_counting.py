"""What of a PyTorch module really is in low precision, in the words of counting.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.artifacts.exporting import example_tensors
from harness.artifacts.tensors import TensorSpec
from harness.artifacts.torch_flops import flop_counter
from harness.errors import BuildError

if TYPE_CHECKING:
    import torch

_NAMES_SHOWN = 20


def report(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    is_low: Callable[[torch.nn.Module], bool],
    *,
    integers: bool,
    bits: int = 8,
) -> dict[str, Any]:
    """Report which layers of the float `module` are, or will be, kept in `bits`: those that `is_low` says.

    With `integers` they compute in integers, else in float from low-precision weights. Shares are of the
    FLOPs of one item and of the bytes of all layers' weights. Raises BuildError when there is none.
    """
    layers = {name: part for name, part in module.named_modules() if _has_weight(part)}
    low = {name for name, part in layers.items() if is_low(part)}
    if not low:
        kinds = ", ".join(sorted({type(part).__name__ for part in layers.values()}))
        raise BuildError(f"nothing was quantized: the module has {f'only {kinds}' if kinds else 'no layers'}")
    flops, total = _flops(module, inputs, layers)
    share = sum(flops.get(name, 0.0) for name in low) / total if total else None
    small = sum(layers[name].weight.numel() for name in low) * bits / 8
    whole = small + sum(part.weight.nbytes for name, part in layers.items() if name not in low)
    chosen = _types(layers[name] for name in low)
    left = {name: part for name, part in layers.items() if name not in low}
    return {
        "integer_operators": chosen if integers else {},
        "weight_only_operators": {} if integers else chosen,
        "float_operators": _types(left.values()),
        "float_operator_names": [f"{type(p).__name__} {name}" for name, p in left.items()][:_NAMES_SHOWN],
        "low_precision_flops_share": share if integers or share is None else 0.0,
        "weight_only_flops_share": 0.0 if integers and share is not None else share,
        "low_precision_weight_share": small / whole,
    }


def _has_weight(part: torch.nn.Module) -> bool:
    import torch

    weight = getattr(part, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() > 1


def _flops(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], layers: dict[str, torch.nn.Module]
) -> tuple[dict[str, float], float]:
    """FLOPs of each layer and of the whole module for one item."""
    import torch

    found: dict[str, float] = {}
    counter = flop_counter()

    def hooks(name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(*_: Any) -> None:
            found[name] = found.get(name, 0.0) - counter.get_total_flops()

        def after(*_: Any) -> None:
            found[name] += counter.get_total_flops()

        return before, after

    handles = []
    for name, part in layers.items():
        before, after = hooks(name)
        handles += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        with torch.no_grad(), counter:
            module(*example_tensors(inputs, 1, seed=0))
    finally:
        for handle in handles:
            handle.remove()
    return found, float(counter.get_total_flops())


def _types(parts: Any) -> dict[str, int]:
    return dict(sorted(Counter(type(part).__name__ for part in parts).items()))
