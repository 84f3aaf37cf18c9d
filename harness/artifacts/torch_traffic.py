"""What a PyTorch module moves through memory, seen at its products' operators. Torch is imported inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.artifacts.torch_flops import HIDDEN, formulas
from harness.artifacts.torch_watching import watch_operators

if TYPE_CHECKING:
    import torch


def count_traffic(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Return what answering `example`, one item, moves: `weight_bytes`, and of the products (what torch's
    FLOP counter counts) `activation_bytes`, their inputs and outputs, and `float32_flops_share`, 0 without.
    Where an operator hides its products (an LSTM), only the first is known, and FLOPs are not.
    Tables that rows are looked up in alone (embeddings) are no weights here: a call reads a few rows of them.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    parameters, known = list(module.parameters()), formulas()
    weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    looked_up: set[int] = set()
    read: set[int] = set()
    seen = {"bytes": 0.0, "all": 0.0, "float32": 0.0, "hidden": 0.0}

    def tensors(tree: Any) -> list[torch.Tensor]:
        return [part for part in tree_leaves(tree) if isinstance(part, torch.Tensor)]

    def look(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        operands = tensors([args, kwargs])
        used = {part.untyped_storage().data_ptr() for part in operands}
        (looked_up if operator is torch.ops.aten.embedding else read).update(used)
        seen["hidden"] += operator.__name__ in HIDDEN
        if (counter := known.get(operator)) is not None:
            moved = [t for t in operands if t.untyped_storage().data_ptr() not in weights] + tensors(result)
            seen["bytes"] += float(sum(part.nbytes for part in moved))
            flops = float(counter(*args, **kwargs, out_val=result))
            seen["all"] += flops
            seen["float32"] += flops * all(part.dtype == torch.float32 for part in operands)

    watch_operators(module, example, look)
    tables = looked_up - read
    weighed = [p for p in parameters if p.untyped_storage().data_ptr() not in tables]
    weight_bytes = {"weight_bytes": float(sum(parameter.nbytes for parameter in weighed))}
    if seen["hidden"]:
        return weight_bytes
    return weight_bytes | {
        "activation_bytes": seen["bytes"],
        "float32_flops_share": seen["float32"] / seen["all"] if seen["all"] else 0.0,
    }
