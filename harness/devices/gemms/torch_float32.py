"""PyTorch's float32 product on the processor (MKL, OpenBLAS or oneDNN, as it was built)."""

from __future__ import annotations

import functools

from harness.devices.gemms.registry import Product, gemm


@gemm("torch", "float32", "torch", kernel="mm")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by `torch.mm`."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator) for n in (rows, side))
    return functools.partial(torch.mm, left, right)
