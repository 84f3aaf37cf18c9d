"""FLOPs and memory traffic of a PyTorch module, counted operator by operator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import example_tensors

if TYPE_CHECKING:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

Look = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Takes an operator (an OpOverloadPacket), its positional and keyword arguments, and its result."""
BATCHES = (1, 2, 3, 4, 8, 16, 32, 64)
"""Batches that are tried in turn: some models take no batch of one, or only a fixed one."""
T = TypeVar("T")


def at_some_batch(run: Callable[[int], T]) -> T:
    """Return `run(batch)` for the first of BATCHES that the model takes. Raises the first error."""
    first: Exception | None = None
    for batch in BATCHES:
        try:
            return run(batch)
        except Exception as error:  # a model may raise anything
            first = first or error
    assert first is not None  # noqa: S101
    raise first


def watch_operators(module: torch.nn.Module, example: tuple[torch.Tensor, ...], look: Look) -> None:
    """Run `module` on `example` without gradients, and call `look` after each operator."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch types it in part
        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            look(function._overloadpacket, args, kwargs or {}, result)
            return result

    with torch.no_grad(), _whole_attention(), Watch():  # type: ignore[no-untyped-call]
        module(*example)


@contextlib.contextmanager
def _whole_attention() -> Iterator[None]:
    """Make torch's attention layers call their products one by one.

    In eval mode `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` else call one fused operator, whose
    products nothing counts.
    """
    from torch.backends import mha

    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


HIDDEN = (
    *("mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu", "quantized_lstm", "quantized_gru"),
    *("_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "miopen_rnn"),
)
"""Operators whose multiply-accumulates torch's counter does not know."""


def formulas() -> dict[Any, Callable[..., Any]]:
    """Return a FLOP formula (2 × multiply-accumulates) for each operator that torch can count.

    Causal attention is counted without its mask, as torch counts it elsewhere and as ONNX graphs are counted.
    """
    import torch
    from torch.utils.flop_counter import flop_registry, register_flop_formula, sdpa_flop

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    if on_cpu not in flop_registry:
        register_flop_formula(on_cpu, get_raw=True)(sdpa_flop)  # takes tensors already
    return flop_registry


def count_module(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], batch: int | None = None
) -> dict[str, float]:
    """Count parameters, those not zero, FLOPs of one sample (2 × multiply-accumulates), and memory traffic.

    `batch` is the batch that the module takes; None: the first that works. FLOPs and activations are left out
    where an operator is `HIDDEN`.
    """
    import torch

    if batch is None:
        return at_some_batch(lambda size: count_module(module, inputs, size))
    example = example_tensors(inputs, batch, seed=0)
    parameters = list(module.parameters())
    traffic = count_traffic(module, example)
    statistics: dict[str, float] = {
        "parameters": sum(p.numel() for p in parameters),
        "nonzero_parameters": sum(int(torch.count_nonzero(p)) for p in parameters),
    }
    if "activation_bytes" in traffic:
        statistics["flops_per_sample"] = count_flops(module, example) / batch
        statistics["activation_bytes_per_sample"] = traffic.pop("activation_bytes") / batch
    return statistics | traffic


def count_flops(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> float:
    """Return the FLOPs of one call of `module` on `example`."""
    import torch

    with torch.no_grad(), flop_counter() as counter:
        module(*example)
    return float(counter.get_total_flops())


@contextlib.contextmanager
def flop_counter() -> Iterator[FlopCounterMode]:
    """Count the FLOPs of what runs inside the `with` block, by `formulas`."""
    from torch.utils.flop_counter import FlopCounterMode

    formulas()
    with _whole_attention(), FlopCounterMode(display=False) as counter:
        yield counter


def multiplied_weights(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...]
) -> dict[str, torch.nn.Parameter]:
    """Return by name the parameters that matrix products and convolutions multiply in a call on `example`.

    These are weights of any layer (attention's joint projection, transposed convolutions, `HIDDEN` operators)
    and bare parameters, but not biases, norms, and tables that are only looked up in. Of parameters that
    share memory, the first counts.
    """
    owners: dict[int, str] = {}
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            owners.setdefault(parameter.untyped_storage().data_ptr(), name)
    known = formulas()
    found: set[str | None] = set()

    def look(operator: Any, args: tuple[Any, ...], _kwargs: dict[str, Any], _result: Any) -> None:
        if operator in known or operator.__name__ in HIDDEN:
            factors = args[1:] if operator.__name__ in ("addmm", "baddbmm") else args
            found.update(owners.get(part.untyped_storage().data_ptr()) for part in _tensors(factors))

    watch_operators(module, example, look)
    return {name: module.get_parameter(name) for name in owners.values() if name in found}


def _tensors(tree: Any) -> list[torch.Tensor]:
    import torch
    from torch.utils._pytree import tree_leaves

    return [part for part in tree_leaves(tree) if isinstance(part, torch.Tensor)]


def count_traffic(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Return the memory traffic of one call of `module` on `example`.

    `weight_bytes`, without tables that are only looked up in (embeddings), of which a call reads a few rows;
    `activation_bytes`, inputs and outputs of all products (the operators that torch's FLOP counter knows);
    `float32_flops_share`, 0 without products. With a `HIDDEN` operator (an LSTM), only the first is returned.
    """
    import torch

    parameters, known = list(module.parameters()), formulas()
    weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    looked_up: set[int] = set()
    read: set[int] = set()
    seen = {"bytes": 0.0, "all": 0.0, "float32": 0.0, "hidden": 0.0}

    def look(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        operands = _tensors([args, kwargs])
        used = {part.untyped_storage().data_ptr() for part in operands}
        (looked_up if operator is torch.ops.aten.embedding else read).update(used)
        seen["hidden"] += operator.__name__ in HIDDEN
        if (counter := known.get(operator)) is not None:
            moved = [t for t in operands if t.untyped_storage().data_ptr() not in weights] + _tensors(result)
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
