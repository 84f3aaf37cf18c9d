"""PyTorch's matrix products on the processor, one for each dtype."""

from __future__ import annotations

import functools
from operator import attrgetter

from harness.devices.peaks.registry import Product, gemm

# CPU features as Linux names them; the last of each is Arm's.
NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
NATIVE_FLOAT16 = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})


def _register(dtype: str, operator: str, native: frozenset[str] = frozenset()) -> None:
    """Register the product of matrices of `dtype` by the function `operator` of torch."""

    @gemm("torch", dtype, "torch", kernel=operator.rpartition(".")[2], native=native)
    def prepare(rows: int, side: int, threads: int) -> Product:
        import torch

        torch.set_num_threads(threads)
        generator, kind = torch.Generator().manual_seed(0), getattr(torch, dtype)
        shapes = [(rows, side), (side, side)]
        if kind.is_floating_point:
            operands = [torch.rand(shape, generator=generator).to(kind) for shape in shapes]
        else:
            operands = [torch.randint(-127, 128, shape, dtype=kind, generator=generator) for shape in shapes]
        return functools.partial(attrgetter(operator)(torch), *operands)


_register("float32", "mm")
# The operator of a dense layer: `torch.mm` is ten times slower where it has no kernel for 16 bits.
_register("bfloat16", "nn.functional.linear", NATIVE_BFLOAT16)
_register("float16", "nn.functional.linear", NATIVE_FLOAT16)
# Signed by signed is the only combination that `torch._int_mm` supports on every processor.
_register("int8", "_int_mm")
