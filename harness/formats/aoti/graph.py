"""What TorchInductor made of a graph: the products and convolutions that its code calls.

The exported graph says what was meant; only after Inductor's passes is it known which kernel does it, in
which types. Torch is imported inside the functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_PRODUCTS = re.compile(r"q?conv(olution)?([123]d)?|q?linear|(add|b|baddb)?mm|attention|rnn|lstm")
"""A word of an operator's name; all of it, since lgamma and bilinear2d multiply no matrices."""
_NO_PRODUCTS = ("convert", "prepack", "quantize_per", "weight_norm")
_LOOKED_UP = ("embedding", "index_select", "gather", "index")
_BIAS_FIRST = ("addmm", "baddbmm")
_MOVED = 8
"""Steps back from an operand to where it is stored: casts, scales and views between."""


@dataclass(frozen=True)
class Compiled:
    """One product as compiled: its kernel, and FLOPs of a call (None where a shape is not known).

    `data` and `weight` are the types of its operands, `stored` the type in which its weights lie in the
    package, None where both operands are computed. `unpacked` says that a pass over the weights comes before
    the product at each call.
    """

    kernel: str
    name: str
    flops: float | None
    data: str
    weight: str
    stored: str | None
    unpacked: bool


@dataclass
class CompiledGraph:
    """What one package calls: its products, and its other operators by name with their number."""

    products: list[Compiled] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def watch() -> tuple[Callable[[torch.fx.Graph], None], CompiledGraph]:
    """Return a pass for Inductor (`post_grad_custom_post_pass`) that changes nothing, and what it notes down.

    A function, since Inductor copies the objects that it is given as settings. What it cannot read is noted
    as unknown: to look must not fail a build.
    """
    seen = CompiledGraph()

    def note(graph: torch.fx.Graph) -> None:
        for node in graph.nodes:
            if node.op != "call_function":
                continue
            kernel = _named(node)
            if _is_product(kernel):
                seen.products.append(_looked_at(kernel, node))
            else:
                seen.others[kernel] += 1

    return note, seen


def _named(node: torch.fx.Node) -> str:
    try:
        return _kernel(node.target)
    except Exception:  # lowerings are functions of any form
        return "unknown"


def _looked_at(kernel: str, node: torch.fx.Node) -> Compiled:
    try:
        return _compiled(kernel, node)
    except Exception:  # operands in an order or of a kind that is not known here
        return _unknown(kernel, node)


def _unknown(kernel: str, node: torch.fx.Node) -> Compiled:
    return Compiled(kernel, node.name, None, "", "", None, unpacked=False)


def _kernel(target: Any) -> str:
    """Name of the operator that a node ends in; a lowering's stands in its closure, or is its own name."""
    import torch

    if isinstance(target, torch._ops.OpOverload):
        return str(target._overloadpacket.__name__)
    function = getattr(target, "func", target)
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    named = [cell for cell in cells if isinstance(cell, (torch._ops.OpOverload, torch._ops.OpOverloadPacket))]
    own = str(getattr(function, "__name__", target))
    if named and not _is_product(own):
        return str(getattr(named[0], "_overloadpacket", named[0]).__name__)
    return own


def _is_product(kernel: str) -> bool:
    return any(map(_PRODUCTS.fullmatch, kernel.split("_"))) and not any(
        part in kernel for part in _NO_PRODUCTS
    )


def _compiled(kernel: str, node: torch.fx.Node) -> Compiled:
    import torch

    operands = [one for one in node.all_input_nodes if _rank(one) >= 2]
    if kernel in _BIAS_FIRST:
        operands = [one for one in node.args[1:3] if isinstance(one, torch.fx.Node)]
    if len(operands) < 2:
        return _unknown(kernel, node)
    data, weight = operands[:2]
    source, passed = _stored(weight)
    kept = None if source is None else _value(source)
    return Compiled(
        kernel,
        node.name,
        _flops(kernel, node, data, weight),
        _type(data),
        _type(weight),
        None if kept is None else str(kept.dtype).removeprefix("torch."),
        unpacked=passed and kept is not None and kept.dtype != _value(weight).dtype,
    )


def _flops(kernel: str, node: torch.fx.Node, data: torch.fx.Node, weight: torch.fx.Node) -> float | None:
    """2 × multiply-accumulates of a call; None for what is not counted here.

    Weights of convolutions may be stored in any order, so products are counted by their number: of weights
    for each output channel, of a transposed convolution for each input channel.
    """
    out, given, kept = (_sides(one) for one in (node, data, weight))
    if out is None or given is None or kept is None or "rnn" in kernel or "lstm" in kernel:
        return None
    if "attention" in kernel:  # queries × keys, then shares × values
        return 2.0 * (prod(given) + prod(out)) * kept[-2]
    if "conv" not in kernel:
        return 2.0 * prod(out) * given[-1]
    transposed = "transpose" in kernel or (kernel == "convolution" and bool(node.args[6]))
    side = given if transposed else out
    return 2.0 * prod(side) * prod(kept) / side[1]


def _stored(node: torch.fx.Node) -> tuple[torch.fx.Node | None, bool]:
    """Return the constant that `node` comes from, through casts, scales and views; whether any was passed."""
    for step in range(_MOVED):
        if node.op != "call_function":
            constant = node.op == "get_attr" or _is_parameter(node)
            return (node if constant else None), step > 0
        if _is_product(kernel := _named(node)) or kernel in _LOOKED_UP:
            return None, True  # computed, not stored
        inputs = [one for one in _tensors(node) if _rank(one) >= 2]
        if not inputs:
            return None, True
        node = inputs[0]
    return None, True


def _is_parameter(node: torch.fx.Node) -> bool:
    return node.op == "placeholder" and not node.name.startswith("arg")


def _tensors(node: torch.fx.Node) -> Iterator[torch.fx.Node]:
    return (one for one in node.all_input_nodes if _value(one) is not None)


def _value(node: torch.fx.Node) -> Any:
    import torch

    value = node.meta.get("val")
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def _rank(node: torch.fx.Node) -> int:
    value = _value(node)
    return 0 if value is None else int(value.dim())


def _type(node: torch.fx.Node) -> str:
    return str(_value(node).dtype).removeprefix("torch.")


def _sides(node: torch.fx.Node) -> tuple[int, ...] | None:
    """Sides of a tensor; None where one of them is free."""
    value = _value(node)
    sides = [] if value is None else list(value.shape)
    return tuple(sides) if sides and all(isinstance(side, int) for side in sides) else None
