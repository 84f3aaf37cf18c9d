"""PyTorch's matrix products on the processor, by dtype."""

from __future__ import annotations

import functools

from harness.devices.peaks.registry import Product, gemm


@gemm("torch", "float32", "torch", kernel="mm")
def float32_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by `torch.mm`."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator) for n in (rows, side))
    return functools.partial(torch.mm, left, right)


NATIVE = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # as Linux names them; the last is Arm's


@gemm("torch", "bfloat16", "torch", kernel="linear", native=NATIVE)
def bfloat16_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by a dense layer's operator."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator).bfloat16() for n in (rows, side))
    return functools.partial(torch.nn.functional.linear, left, right)


NATIVE_FLOAT16 = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})  # as Linux names them; the last is Arm's


@gemm("torch", "float16", "torch", kernel="linear", native=NATIVE_FLOAT16)
def float16_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by a dense layer's operator: `torch.mm` is ten times slower where there are no kernels."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(n, side, generator=generator).half() for n in (rows, side))
    return functools.partial(torch.nn.functional.linear, left, right)


@gemm("torch", "int8", "torch", kernel="_int_mm")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply signed by signed, which is all that `torch._int_mm` promises on every processor."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-127, 128, (n, side), dtype=torch.int8, generator=generator) for n in (rows, side)
    )
    return functools.partial(torch._int_mm, left, right)
