"""What of a PyTorch module, or of an exported graph, really is in low precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.formats.low_precision.shares import NAMES_SHOWN, counted
from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import flop_counter

if TYPE_CHECKING:
    import torch


def report(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    is_low: Callable[[torch.nn.Module], bool],
    *,
    integers: bool,
) -> dict[str, Any]:
    """Report which layers of the float `module` are, or will be, kept in 8 bits: those that `is_low` says.

    With `integers` they compute in integers, else in float from low-precision weights. Shares are of the
    FLOPs of one item and of the bytes of all layers' weights. Raises BuildError when there is none.
    """
    refuse_float(module, is_low)
    layers = _layers(module)
    low = {name for name, part in layers.items() if is_low(part)}
    flops, total = _flops(module, inputs, layers)
    share = sum(flops.get(name, 0.0) for name in low) / total if total else None
    small = sum(layers[name].weight.numel() for name in low)  # a byte each
    whole = small + sum(part.weight.nbytes for name, part in layers.items() if name not in low)
    chosen = counted(type(layers[name]).__name__ for name in low)
    left = {name: part for name, part in layers.items() if name not in low}
    return {
        "integer_operators": chosen if integers else {},
        "weight_only_operators": {} if integers else chosen,
        "float_operators": counted(type(part).__name__ for part in left.values()),
        "float_operator_names": [f"{type(p).__name__} {name}" for name, p in left.items()][:NAMES_SHOWN],
        "low_precision_flops_share": share if integers or share is None else 0.0,
        "weight_only_flops_share": 0.0 if integers and share is not None else share,
        "low_precision_weight_share": small / whole,
    }


def refuse_float(module: torch.nn.Module, is_low: Callable[[torch.nn.Module], bool]) -> None:
    """Raise BuildError when `is_low` takes none of the layers of the float `module`."""
    layers = _layers(module).values()
    if not any(map(is_low, layers)):
        kinds = ", ".join(counted(type(part).__name__ for part in layers))
        raise BuildError(f"nothing was quantized: the module has {f'only {kinds}' if kinds else 'no layers'}")


def _layers(module: torch.nn.Module) -> dict[str, Any]:
    return {name: part for name, part in module.named_modules() if _has_weight(part)}


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


_PASSED_BY = ("view", "reshape", "flatten", "permute", "transpose", "max_pool2d", "dropout", "clone")
_LAYERS = ("conv1d", "conv2d", "conv3d", "convolution", "linear")
_PRODUCTS = (*_LAYERS, "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention")


def refuse_float_graph(graph: torch.fx.Graph) -> None:
    """Raise BuildError when no product or convolution has both operands dequantized from integers."""
    nodes = [node for node in graph.nodes if _operator(node) in _PRODUCTS]
    if not any(all(_is_dequantized(part) for part in _operands(node)) for node in nodes):
        kinds = ", ".join(sorted({_operator(node) for node in nodes}))
        kept = f"only {kinds} in float" if nodes else "no dense or convolution operator"
        raise BuildError(f"nothing was quantized: the graph has {kept}")


def _operator(node: Any) -> str:
    """``conv2d`` of ``aten.conv2d.default``; empty for what is no call."""
    packet = getattr(node.target, "_overloadpacket", None) if node.op == "call_function" else None
    return str(packet.__name__) if packet is not None else ""


def _operands(node: Any) -> list[Any]:
    first = 1 if _operator(node) in ("addmm", "baddbmm") else 0
    return list(node.args[first : first + 2])


def _is_dequantized(node: Any) -> bool:
    while _operator(node) in _PASSED_BY:
        node = node.args[0]
    return _operator(node).startswith("dequantize")
