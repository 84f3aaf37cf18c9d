"""PyTorch's bfloat16 product: oneDNN, where the processor multiplies bfloat16; elsewhere it widens."""

from __future__ import annotations

import functools

from harness.devices.gemms.registry import Product, gemm

NATIVE = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # as Linux names them; the last is Arm's


@gemm("torch", "bfloat16", "torch", kernel="linear", native=NATIVE)
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by a dense layer's operator."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator).bfloat16() for n in (rows, side))
    return functools.partial(torch.nn.functional.linear, left, right)
