"""Low precision in a PyTorch module, or in an exported graph of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.formats.low_precision.shares import (
    FLOAT,
    NAMES_SHOWN,
    Product,
    counted,
    in_words,
    tally,
    unchanged,
)
from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import HIDDEN, at_some_batch, flop_counter, formulas, watch_operators

if TYPE_CHECKING:
    import torch
    from torch.utils.flop_counter import FlopCounterMode


def report_half(module: torch.nn.Module, inputs: tuple[TensorSpec, ...], dtype: str) -> dict[str, Any]:
    """Report the products that a `module` cast to `dtype` (16 bits) computes for one sample.

    Shares are of FLOPs and of the stored bytes of parameters with two dimensions or more. Raises BuildError
    when nothing computes in 16 bits.
    """
    found = _products(module, inputs, dtype)
    if all(product.kind == "float" for product in found):
        raise BuildError("nothing computes in 16 bits: the module has no dense or convolution operator")
    weights = [tensor for tensor in module.parameters() if tensor.dim() > 1]
    low = sum(tensor.nbytes for tensor in weights if tensor.itemsize == 2)
    counts = tally(found, low, sum(tensor.nbytes for tensor in weights))
    return {**counts, "compute_dtype": in_words(counts["flops_by_type"])}


def _products(module: torch.nn.Module, inputs: tuple[TensorSpec, ...], dtype: str) -> list[Product]:
    """Run one batch; return each product by the width of its result; FLOPs of `HIDDEN` ones are None."""
    return at_some_batch(lambda batch: _products_at(batch, module, inputs, dtype))


def _products_at(
    batch: int, module: torch.nn.Module, inputs: tuple[TensorSpec, ...], dtype: str
) -> list[Product]:
    found: list[Product] = []
    known = formulas()

    def look(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        hidden = operator.__name__ in HIDDEN
        if operator in known or hidden:
            first = result[0] if isinstance(result, (tuple, list)) else result
            flops = None if hidden else float(known[operator](*args, **kwargs, out_val=result))
            computes = dtype if first.itemsize == 2 else FLOAT
            found.append(Product(operator.__name__, str(len(found)), flops, computes))

    watch_operators(module, example_tensors(inputs, batch, seed=0), look)
    return found


def report(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    is_low: Callable[[torch.nn.Module], bool],
    *,
    integers: bool,
) -> dict[str, Any]:
    """Report which layers of the float `module` will be stored in 8 bits: those for which `is_low` holds.

    With `integers` they compute in 8 bits, else in float from low-precision weights. Shares are of the FLOPs
    of one sample and of the bytes of all layers' weights. Raises BuildError when there is none.
    """
    refuse_float(module, is_low)
    layers = _layers(module)
    low = {name for name, part in layers.items() if is_low(part)}
    flops, total = _flops(module, inputs)
    share = sum(flops.get(name, 0.0) for name in low) / total if total else None
    small = sum(layers[name].weight.numel() for name in low)  # a byte each
    left = {name: part for name, part in layers.items() if name not in low}
    whole = small + sum(weight.nbytes for part in left.values() for weight in _weights(part))
    chosen = counted(type(layers[name]).__name__ for name in low)
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
    """Raise BuildError when `is_low` holds for none of the layers of the float `module`."""
    layers = _layers(module).values()
    if not any(map(is_low, layers)):
        raise unchanged("module", [type(part).__name__ for part in layers])


def _layers(module: torch.nn.Module) -> dict[str, Any]:
    """Return the modules that have weights of their own, by name."""
    return {name: part for name, part in module.named_modules() if _weights(part)}


def _weights(part: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters with two dimensions or more that the module itself holds."""
    return [parameter for parameter in part.parameters(recurse=False) if parameter.dim() > 1]


def _flops(module: torch.nn.Module, inputs: tuple[TensorSpec, ...]) -> tuple[dict[str, float], float]:
    """Return the FLOPs of each module, by name, and of the whole for one batch."""
    import torch

    def count(batch: int) -> FlopCounterMode:
        with torch.no_grad(), flop_counter() as counter:
            module(*example_tensors(inputs, batch, seed=0))
        return counter

    counter = at_some_batch(count)
    root = type(module).__name__  # the counter puts it before the names
    counts = {name: float(sum(kinds.values())) for name, kinds in counter.get_flop_counts().items()}
    return {name.removeprefix(root).removeprefix("."): n for name, n in counts.items()}, counts["Global"]


_PASSED_BY = ("view", "reshape", "flatten", "permute", "transpose", "max_pool2d", "dropout", "clone")
_LAYERS = ("conv1d", "conv2d", "conv3d", "convolution", "linear")
_PRODUCTS = (*_LAYERS, "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention")


def refuse_float_graph(graph: torch.fx.Graph) -> None:
    """Raise BuildError when no product or convolution has both operands dequantized from integers."""
    nodes = [node for node in graph.nodes if _operator(node) in _PRODUCTS]
    if not any(all(_is_dequantized(part) for part in _operands(node)) for node in nodes):
        raise unchanged("graph", [_operator(node) for node in nodes])


def _operator(node: Any) -> str:
    """Return ``conv2d`` for ``aten.conv2d.default``; empty for a node that is no call."""
    packet = getattr(node.target, "_overloadpacket", None) if node.op == "call_function" else None
    return str(packet.__name__) if packet is not None else ""


def _operands(node: Any) -> list[Any]:
    first = 1 if _operator(node) in ("addmm", "baddbmm") else 0
    return list(node.args[first : first + 2])


def _is_dequantized(node: Any) -> bool:
    while _operator(node) in _PASSED_BY:
        node = node.args[0]
    return _operator(node).startswith("dequantize")
