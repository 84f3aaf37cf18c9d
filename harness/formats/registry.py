"""The registry of formats: what an Artifact can be, and how its parameters, FLOPs and traffic are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.formats.outputs import Examined
from harness.formats.tensors import TensorSpec
from harness.registry import Registry

COUNTS = ("parameters", "nonzero_parameters", "flops_per_sample")
"""Statistics that do not depend on dtype or format: most steps keep those of their source."""


@dataclass(frozen=True)
class Format:
    """A registered format.

    `count(folder, inputs)` returns the statistics that can be counted in its files (artifacts/artifact.py).
    `examine(folder, inputs)` runs or reads the model as given and returns its outputs and what to tell of it;
    it may complete the files. `holds_code`: the files define the whole computation; false where they refer to
    the model's own code.
    `prepare()` does what only the first build of this format in a process would do: load a compiler, find out
    what the processor can do. It does not count as build time.
    """

    name: str
    summary: str
    count: Callable[[Path, tuple[TensorSpec, ...]], dict[str, float]] | None = None
    holds_code: bool = True
    examine: Callable[[Path, tuple[TensorSpec, ...]], Examined] = lambda _folder, _inputs: Examined()
    prepare: Callable[[], None] = lambda: None


FORMATS: Registry[Format] = Registry("format", "harness.formats", "harness.techniques")


def count_statistics(format: str, folder: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """Return the statistics of an Artifact in `format`; none where the format cannot be read."""
    entry = FORMATS.get(format)
    return entry.count(folder, inputs) if entry.count else {}
