"""The seam of forms: what an Artifact can be, and how its parameters and FLOPs are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.formats.tensors import TensorSpec
from harness.registry import Registry


@dataclass(frozen=True)
class Format:
    """A registered form. `count(folder, inputs)` returns the facts that can be counted (artifact.py).

    `holds_code`: its files say all that is computed; false where they refer to the model's own code.
    """

    name: str
    summary: str
    count: Callable[[Path, tuple[TensorSpec, ...]], dict[str, float]] | None = None
    holds_code: bool = True


FORMATS: Registry[Format] = Registry("format", "harness.formats", "harness.techniques")


def count_statistics(format: str, folder: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """Count what can be counted of an Artifact in `form`; nothing where the form cannot be read."""
    entry = FORMATS.get(format)
    return entry.count(folder, inputs) if entry.count else {}
