"""PyTorch's float16 product; few processors multiply float16, elsewhere it widens to float32."""

from __future__ import annotations

import functools

from harness.devices.gemms.registry import Product, gemm

NATIVE = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})  # as Linux names them; the last is Arm's


@gemm("torch", "float16", "torch", kernel="linear", native=NATIVE)
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by a dense layer's operator: `torch.mm` is ten times slower where there are no kernels."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator).half() for n in (rows, side))
    return functools.partial(torch.nn.functional.linear, left, right)
