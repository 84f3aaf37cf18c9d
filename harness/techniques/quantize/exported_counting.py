"""What of an exported PyTorch graph is quantized, in the words of counting.py."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError

if TYPE_CHECKING:
    import torch

_PASSED_BY = ("view", "reshape", "flatten", "permute", "transpose", "max_pool2d", "dropout", "clone")
_LAYERS = ("conv1d", "conv2d", "conv3d", "convolution", "linear")
_PRODUCTS = (*_LAYERS, "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention")
_NAMES_SHOWN = 20


def report(graph: torch.fx.Graph) -> dict[str, Any]:
    """Report which products and convolutions have both operands dequantized from integers.

    Shares are of the FLOPs of those with known weights (None beside others), and of the bytes of weights.
    Raises BuildError when nothing is quantized.
    """
    nodes = [node for node in graph.nodes if _operator(node) in _PRODUCTS]
    low = [node for node in nodes if all(_is_dequantized(part) for part in _operands(node))]
    left = [node for node in nodes if node not in low]
    if not low:
        kinds = ", ".join(sorted({_operator(node) for node in left}))
        kept = f"only {kinds} in float" if left else "no dense or convolution operator"
        raise BuildError(f"nothing was quantized: the graph has {kept}")
    known = all(_operator(node) in _LAYERS for node in nodes)
    total = sum(map(_flops, nodes)) if known else 0.0
    small, large = (sum(map(_elements, part)) for part in (low, left))
    return {
        "integer_operators": _types(low),
        "float_operators": _types(left),
        "float_operator_names": [f"{_operator(node)} {node.name}" for node in left[:_NAMES_SHOWN]],
        "low_precision_flops_share": sum(map(_flops, low)) / total if total else None,
        "weight_only_flops_share": 0.0 if total else None,
        "low_precision_weight_share": small / (small + 4 * large),
        "qdq_pairs": sum(_operator(node).startswith("quantize_per") for node in graph.nodes),
    }


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


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _elements(node: Any) -> int:
    """Elements of a layer's weight; products of activations have none."""
    return _size(_shape(node.args[1])) if _operator(node) in _LAYERS else 0


def _flops(node: Any) -> float:
    """2 × output elements × weights that each of them takes."""
    weight = _shape(node.args[1])
    return 2.0 * _size(_shape(node)) * _size(weight[1:])


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= int(side)
    return size


def _types(nodes: list[Any]) -> dict[str, int]:
    return dict(sorted(Counter(map(_operator, nodes)).items()))
