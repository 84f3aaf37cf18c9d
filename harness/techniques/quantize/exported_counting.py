"""Refusing an exported PyTorch graph in which nothing is quantized, before it is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import BuildError

if TYPE_CHECKING:
    import torch

_PASSED_BY = ("view", "reshape", "flatten", "permute", "transpose", "max_pool2d", "dropout", "clone")
_LAYERS = ("conv1d", "conv2d", "conv3d", "convolution", "linear")
_PRODUCTS = (*_LAYERS, "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention")


def refuse_float(graph: torch.fx.Graph) -> None:
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
