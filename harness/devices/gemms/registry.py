"""The seam of roofs: who multiplies, and in which number type. A roof is the best of its type's entries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from harness.registry import Registry

Product = Callable[[], object]


@dataclass(frozen=True)
class Gemm:
    """A library's matrix product. `prepare(side, threads)` makes two side × side matrices of `dtype` and
    returns the call that multiplies them with so many threads and returns when the product is there.

    `imports` are the modules it needs; where one is missing the entry is passed over.
    """

    library: str
    dtype: str
    prepare: Callable[[int, int], Product]
    imports: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name in the registry: ``numpy/float32``."""
        return f"{self.library}/{self.dtype}"

    @property
    def installed(self) -> bool:
        """Whether its modules are here; imports none."""
        return all(importlib.util.find_spec(module) is not None for module in self.imports)


GEMMS: Registry[Gemm] = Registry("matrix product", "harness.devices.gemms", "harness.gemms")


def gemm(
    library: str, dtype: str, *imports: str
) -> Callable[[Callable[[int, int], Product]], Callable[[int, int], Product]]:
    """Register the decorated function as `library`'s product of matrices of `dtype`."""

    def register(prepare: Callable[[int, int], Product]) -> Callable[[int, int], Product]:
        entry = Gemm(library, dtype, prepare, imports)
        GEMMS.add(entry.name, entry)
        return prepare

    return register


def installed() -> list[Gemm]:
    """All products whose libraries are here."""
    return [entry for entry in GEMMS.values() if entry.installed]
