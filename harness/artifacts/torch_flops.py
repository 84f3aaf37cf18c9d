"""Torch's formulas of FLOPs, and attention as CPUs compute it, which they lack. Torch is imported inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.utils.flop_counter import FlopCounterMode


HIDDEN = (
    *("mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu", "quantized_lstm", "quantized_gru"),
    *("_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "miopen_rnn"),
)
"""Operators that multiply and accumulate in ways that torch's counter does not know."""


def formulas() -> dict[Any, Callable[..., Any]]:
    """Return a formula for each operator that multiplies and accumulates: 2 × multiply-accumulates.

    Causal attention is counted whole, as torch does elsewhere, and as a graph of products is.
    """
    import torch
    from torch.utils.flop_counter import flop_registry, register_flop_formula, sdpa_flop

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    if on_cpu not in flop_registry:
        register_flop_formula(on_cpu, get_raw=True)(sdpa_flop)  # takes tensors already
    return flop_registry


def count_flops(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> float:
    """Return the FLOPs of answering `example`."""
    import torch

    with torch.no_grad(), flop_counter() as counter:
        module(*example)
    return float(counter.get_total_flops())


def flop_counter() -> FlopCounterMode:
    """Return a counter that knows all `formulas`; what runs inside it is counted."""
    from torch.utils.flop_counter import FlopCounterMode

    formulas()
    return FlopCounterMode(display=False)
