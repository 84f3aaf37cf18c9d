"""Export formats: a name, a summary, and a function from a Run to text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.registry import Registry
from harness.store.reading import Run

Convert = Callable[[Run], str]


@dataclass(frozen=True)
class Export:
    """One export format. `convert` raises StoreError if the Run's tables cannot be read."""

    name: str
    summary: str
    convert: Convert


EXPORTS: Registry[Export] = Registry("export format", "harness.report.exports", "harness.exports")


def export(name: str, summary: str) -> Callable[[Convert], Convert]:
    """Register a function as the format `name`."""

    def add(convert: Convert) -> Convert:
        EXPORTS.add(name, Export(name, summary, convert))
        return convert

    return add
