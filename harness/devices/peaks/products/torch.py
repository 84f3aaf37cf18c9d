"""PyTorch's matrix products on the processor, one function a dtype."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from harness.devices.peaks.registry import Product, gemm

if TYPE_CHECKING:
    import torch

# CPU features as Linux names them; the last of each is Arm's.
NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
NATIVE_FLOAT16 = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})


def _operands(rows: int, side: int, threads: int, dtype: str) -> list[torch.Tensor]:
    """Set the number of threads; return random matrices (rows, side) and (side, side) of `dtype`."""
    import torch

    torch.set_num_threads(threads)
    generator, kind = torch.Generator().manual_seed(0), getattr(torch, dtype)
    shapes = [(rows, side), (side, side)]
    if kind.is_floating_point:
        return [torch.rand(shape, generator=generator).to(kind) for shape in shapes]
    return [torch.randint(-127, 128, shape, dtype=kind, generator=generator) for shape in shapes]


@gemm("torch", "float32", "torch", kernel="mm")
def float32_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by `torch.mm`."""
    import torch

    return functools.partial(torch.mm, *_operands(rows, side, threads, "float32"))


@gemm("torch", "bfloat16", "torch", kernel="linear", native=NATIVE_BFLOAT16)
def bfloat16_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by the operator of a dense layer."""
    import torch

    return functools.partial(torch.nn.functional.linear, *_operands(rows, side, threads, "bfloat16"))


@gemm("torch", "float16", "torch", kernel="linear", native=NATIVE_FLOAT16)
def float16_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by the operator of a dense layer; `torch.mm` is ten times slower where it has no kernel."""
    import torch

    return functools.partial(torch.nn.functional.linear, *_operands(rows, side, threads, "float16"))


@gemm("torch", "int8", "torch", kernel="_int_mm")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply signed by signed, the only combination that `torch._int_mm` supports on every processor."""
    import torch

    return functools.partial(torch._int_mm, *_operands(rows, side, threads, "int8"))
