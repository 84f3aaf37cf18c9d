"""What a PyTorch module moves through memory, seen at its products' operators. Torch is imported inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.artifacts.torch_flops import formulas

if TYPE_CHECKING:
    import torch


def count_traffic(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Return what answering `example`, one item, moves: `weight_bytes`, and of the products (what torch's
    FLOP counter counts) `activation_bytes`, their inputs and outputs, and `float32_flops_share`, 0 without.
    Tables that rows are looked up in alone (embeddings) are no weights here: a call reads a few rows of them.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    parameters, known = list(module.parameters()), formulas()
    weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    looked_up: set[int] = set()
    read: set[int] = set()
    seen = {"bytes": 0.0, "all": 0.0, "float32": 0.0}

    def tensors(tree: Any) -> list[torch.Tensor]:
        return [part for part in tree_leaves(tree) if isinstance(part, torch.Tensor)]

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Looks at each operator as it runs."""

        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            used = {part.untyped_storage().data_ptr() for part in tensors([args, kwargs or {}])}
            (looked_up if function._overloadpacket is torch.ops.aten.embedding else read).update(used)
            counter = known.get(function._overloadpacket)
            if counter is not None:
                operands, results = tensors([args, kwargs or {}]), tensors(result)
                moved = [t for t in operands if t.untyped_storage().data_ptr() not in weights] + results
                seen["bytes"] += float(sum(part.nbytes for part in moved))
                flops = float(counter(*args, **(kwargs or {}), out_val=result))
                seen["all"] += flops
                seen["float32"] += flops * all(part.dtype == torch.float32 for part in operands)
            return result

    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        module(*example)
    tables = looked_up - read
    weighed = [p for p in parameters if p.untyped_storage().data_ptr() not in tables]
    return {
        "weight_bytes": float(sum(parameter.nbytes for parameter in weighed)),
        "activation_bytes": seen["bytes"],
        "float32_flops_share": seen["float32"] / seen["all"] if seen["all"] else 0.0,
    }
