"""The products and convolutions that a package's code calls, read after TorchInductor's passes.

The exported graph says what to compute; the kernels and their dtypes are known only after Inductor's passes.
Torch is imported inside the functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_PRODUCTS = re.compile(r"q?conv(olution)?([123]d)?|q?linear|(add|b|baddb)?mm|attention|rnn|lstm")
"""Words in names of product operators; matched whole, since lgamma and bilinear2d are no products."""
_NO_PRODUCTS = ("convert", "prepack", "quantize_per", "weight_norm")
_LOOKUPS = ("embedding", "index_select", "gather", "index")
_BIAS_FIRST = ("addmm", "baddbmm")
_MAX_STEPS = 8
"""Most operators (casts, scales, views) between an operand and the constant in which it is stored."""


@dataclass(frozen=True)
class Compiled:
    """One product as compiled: its kernel, and FLOPs of a call (None where a shape is not known).

    `data` and `weight` are the dtypes of its operands, `stored` the dtype of its weights in the package, None
    where both operands are computed. `unpacked` says that each call converts the weights before the product.
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
    """The operators that one package calls: its products, and the number of others by name."""

    products: list[Compiled] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def watch() -> tuple[Callable[[torch.fx.Graph], None], CompiledGraph]:
    """Return a pass for Inductor (`post_grad_custom_post_pass`) that changes nothing, and what it records.

    The pass is a function, since Inductor copies objects in its settings. An operator that it cannot read is
    recorded as unknown, so that counting never fails a build.
    """
    seen = CompiledGraph()

    def record(graph: torch.fx.Graph) -> None:
        for node in graph.nodes:
            if node.op != "call_function":
                continue
            kernel = _kernel_or_unknown(node)
            if _is_product(kernel):
                seen.products.append(_read_product(kernel, node))
            else:
                seen.others[kernel] += 1

    return record, seen


def _kernel_or_unknown(node: torch.fx.Node) -> str:
    try:
        return _kernel(node.target)
    except Exception:  # lowerings are functions of many kinds
        return "unknown"


def _read_product(kernel: str, node: torch.fx.Node) -> Compiled:
    try:
        return _compiled(kernel, node)
    except Exception:  # a number, order or kind of operands that is not known here
        return Compiled(kernel, node.name, None, "", "", None, unpacked=False)


def _kernel(target: Any) -> str:
    """Return the name of the operator that a node calls; of a lowering, the one in its closure or its own."""
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
    data, weight = operands[:2]
    source, passed = _stored(weight)
    kept = None if source is None else _value(source)
    return Compiled(
        kernel,
        node.name,
        _flops(kernel, node, data, weight),
        _dtype(data),
        _dtype(weight),
        None if kept is None else str(kept.dtype).removeprefix("torch."),
        unpacked=passed and kept is not None and kept.dtype != _value(weight).dtype,
    )


def _flops(kernel: str, node: torch.fx.Node, data: torch.fx.Node, weight: torch.fx.Node) -> float | None:
    """Return 2 × multiply-accumulates of a call; None for an operator that is not counted here.

    Weights of convolutions may be stored in any order, so their number is divided by the channels: output
    channels, or input channels of a transposed convolution.
    """
    out, given, kept = (_shape(one) for one in (node, data, weight))
    if out is None or given is None or kept is None or "rnn" in kernel or "lstm" in kernel:
        return None
    if "attention" in kernel:  # queries × keys, then attention weights × values
        return 2.0 * (prod(given) + prod(out)) * kept[-2]
    if "conv" not in kernel:
        return 2.0 * prod(out) * given[-1]
    transposed = "transpose" in kernel or (kernel == "convolution" and bool(node.args[6]))
    side = given if transposed else out
    return 2.0 * prod(side) * prod(kept) / side[1]


def _stored(node: torch.fx.Node) -> tuple[torch.fx.Node | None, bool]:
    """Return the constant behind casts, scales and views of `node`, and whether there are any of these."""
    for step in range(_MAX_STEPS):
        if node.op != "call_function":
            constant = node.op == "get_attr" or _is_parameter(node)
            return (node if constant else None), step > 0
        if _is_product(kernel := _kernel_or_unknown(node)) or kernel in _LOOKUPS:
            return None, True  # computed, not stored
        inputs = [one for one in node.all_input_nodes if _rank(one) >= 2]
        if not inputs:
            return None, True
        node = inputs[0]
    return None, True


def _is_parameter(node: torch.fx.Node) -> bool:
    return node.op == "placeholder" and not node.name.startswith("arg")


def _value(node: torch.fx.Node) -> Any:
    import torch

    value = node.meta.get("val")
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def _rank(node: torch.fx.Node) -> int:
    value = _value(node)
    return 0 if value is None else int(value.dim())


def _dtype(node: torch.fx.Node) -> str:
    return str(_value(node).dtype).removeprefix("torch.")


def _shape(node: torch.fx.Node) -> tuple[int, ...] | None:
    """Return the shape of a tensor; None where a dimension is free."""
    value = _value(node)
    shape = () if value is None else tuple(value.shape)
    return shape if shape and all(isinstance(size, int) for size in shape) else None
