"""The extension point of matrix products. The peak FLOP/s of a dtype is the best of its entries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.registry import Registry

Product = Callable[[], object]
Prepare = Callable[[int, int, int], Product]

WEIGHT_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}
"""Dtypes that have a peak, and the bits that one weight takes in memory; scales are not counted."""


@dataclass(frozen=True)
class Gemm:
    """A library's matrix product.

    `prepare(rows, side, threads)` makes a rows × side matrix of activations and a side × side matrix of
    weights in `dtype`. It returns a call that multiplies them with `threads` threads and returns when the
    product is ready. `side` is a multiple of 64.

    `kernel` is the library's name of the operator. `computes` is the compute dtype where it differs from
    `dtype` (int8 where activations are rounded for int4 weights). On a processor without any of the features
    `native`, the kernel widens its operands and computes in float32. `imports` are the modules it needs; if
    one is missing, the entry is left out.
    """

    library: str
    dtype: str
    prepare: Prepare
    imports: tuple[str, ...]
    kernel: str
    computes: str | None = None
    native: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name in the registry: ``numpy/float32``."""
        return f"{self.library}/{self.dtype}"

    def compute_dtype(self, cpu_features: frozenset[str]) -> str:
        """Return the dtype in which it multiplies on a processor with these features."""
        if self.native and not self.native & cpu_features:
            return "float32"
        return self.computes or self.dtype

    def missing(self) -> str | None:
        """Return why it cannot be used, or None. Imports nothing."""
        for module in self.imports:
            if importlib.util.find_spec(module) is None:
                return f"{self.name}: {module} is not installed"
        return None


GEMMS: Registry[Gemm] = Registry("matrix product", "harness.devices.peaks.products", "harness.peaks")


def gemm(
    library: str,
    dtype: str,
    *imports: str,
    kernel: str,
    computes: str | None = None,
    native: frozenset[str] = frozenset(),
) -> Callable[[Prepare], Prepare]:
    """Register the decorated function as `library`'s product of matrices of `dtype`."""

    def register(prepare: Prepare) -> Prepare:
        entry = Gemm(library, dtype, prepare, imports, kernel, computes, native)
        GEMMS.add(entry.name, entry)
        return prepare

    return register


def floats(rows: int, columns: int) -> NDArray[np.float32]:
    """Return a seeded random float32 matrix (rows, columns) with values from [0, 1)."""
    return np.random.default_rng(rows).random((rows, columns), dtype=np.float32)
