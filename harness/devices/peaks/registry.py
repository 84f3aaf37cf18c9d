"""The seam of roofs: who multiplies, and in which number type. A roof is the best of its type's entries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from harness.registry import Registry

Product = Callable[[], object]
Prepare = Callable[[int, int, int], Product]

WEIGHT_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}
"""Number types of roofs, and the bits that one weight takes in memory; scales are no weights."""


@dataclass(frozen=True)
class Gemm:
    """A library's matrix product.

    `prepare(rows, side, threads)` makes a rows × side matrix of activations and a side × side one of weights
    in `dtype`, and returns the call that multiplies them with so many threads and returns when the product is
    there. `side` is a multiple of 64.

    `kernel` is the operator, as its library calls it. `computes` is the number type that is multiplied, where
    it is another one than `dtype` (int8 where activations are rounded for int4 weights), or, without any of
    the processor features `native`, float32: a kernel that widens its operands. `imports` are the modules it
    needs; where one is missing the entry is left out.
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
        """The number type in which it multiplies on a processor with these features."""
        if self.native and not self.native & cpu_features:
            return "float32"
        return self.computes or self.dtype

    def missing(self) -> str | None:
        """Return why it cannot be tried, or None; imports nothing."""
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
