"""PyTorch's product of 8-bit integers that sums into 32 bits, as torchao's dynamic layers call it."""

from __future__ import annotations

import functools

from harness.devices.gemms.registry import Product, gemm


@gemm("torch", "int8", "torch", kernel="_int_mm")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply signed by signed, which is all that `torch._int_mm` promises on every processor."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-127, 128, (n, side), dtype=torch.int8, generator=generator) for n in (rows, side)
    )
    return functools.partial(torch._int_mm, left, right)
