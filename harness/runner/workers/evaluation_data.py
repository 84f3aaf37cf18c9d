"""The evaluation data as plain .npy files, so that a measuring worker needs no code of the dataset.

`evaluation_truth.py` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.formats.tensors import Array, place
from harness.runner.workers.evaluation_view import View
from harness.runner.workers.output_axes import rows

POOL_BYTES, MAX_POOL = 64_000_000, 16
"""Distinct batches that timed calls take in rotation: at most so many and so many bytes, at least two."""
DESCRIPTION = "data.json"


@dataclass(frozen=True)
class EvaluationData:
    """Inputs (samples, *shape), memory-mapped, and the truth: labels or reference outputs.

    `positions` are those of the samples in these arrays; None: all of them, in order. `axes` are the batch
    axes of the model's inputs and `output_axes` those of its outputs, empty: all are 0. `unscored` says why
    the outputs cannot be divided into samples, so that there is no quality; the truth is then empty values.
    `view` says what is scored of the outputs.
    """

    inputs: tuple[Array, ...]
    truth: Array
    metric: str
    positions: Array | None = None
    axes: tuple[int | None, ...] = ()
    output_axes: tuple[int | None, ...] = ()
    unscored: str | None = None
    view: View = field(default_factory=View)

    def __len__(self) -> int:
        return len(self.truth if self.positions is None else self.positions)

    def sample(self, count: int | None, seed: int) -> EvaluationData:
        """Return `count` samples drawn at random, in order; all where there are no more, or for None."""
        if count is None or count >= len(self):
            return self
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return replace(self, positions=np.sort(drawn))

    def shuffled(self, seed: int) -> EvaluationData:
        """Return the same samples in random order, so that the first ones are a fair sample of all."""
        places = np.arange(len(self)) if self.positions is None else self.positions
        return replace(self, positions=np.random.default_rng(seed).permutation(places))

    def batch(self, index: int, size: int) -> tuple[Array, ...]:
        """Return a call's inputs of samples ``[index·size, (index + 1)·size)``, wrapped around at the end."""
        chosen = np.arange(index * size, (index + 1) * size) % len(self)
        return self._samples(chosen)

    def truth_of(self, index: int, size: int) -> Array:
        """Return the truth of that batch's samples, without those that were wrapped around."""
        chosen = np.arange(index * size, min((index + 1) * size, len(self)))
        return self.truth[chosen if self.positions is None else self.positions[chosen]]

    def pool(self, size: int) -> list[tuple[Array, ...]]:
        """Return the distinct batches of `size` samples that timed calls take in rotation."""
        first = self.batch(0, size)
        n_bytes = max(sum(array.nbytes for array in first), 1)
        distinct = -(-len(self) // size)
        number = max(min(POOL_BYTES // n_bytes, MAX_POOL, distinct), min(2, distinct))
        return [first, *(self.batch(i, size) for i in range(1, number))]

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        """Return `size` samples at random, each at most once as long as there are enough."""
        return self._samples(rng.choice(len(self), size, replace=size > len(self)))

    def _samples(self, chosen: Array) -> tuple[Array, ...]:
        if self.positions is not None:
            chosen = self.positions[chosen]
        axes = self.axes or (0,) * len(self.inputs)
        return tuple(place(array[chosen], axis) for array, axis in zip(self.inputs, axes, strict=True))

    def input_rows(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return a call's inputs with the samples first."""
        return rows(inputs, self.axes)

    def output_rows(self, outputs: Sequence[Any]) -> tuple[Array, ...]:
        """Return a call's outputs with the samples first; one without a batch as one sample."""
        return rows(outputs, self.output_axes)


def read_evaluation_data(folder: Path) -> EvaluationData:
    """Open the files that `write_evaluation_data` wrote."""
    description = json.loads((folder / DESCRIPTION).read_text())
    truth = np.load(folder / "truth.npy", mmap_mode="r")
    axes, output_axes = (tuple(description[name]) for name in ("axes", "output_axes"))
    loaded = [np.load(folder / f"input_{i}.npy", mmap_mode="r") for i in range(description["inputs"])]
    arrays = tuple(
        array if axis is not None else np.broadcast_to(array, (len(truth), *array.shape[1:]))
        for array, axis in zip(loaded, axes, strict=True)
    )
    return EvaluationData(
        arrays,
        truth,
        description["metric"],
        axes=axes,
        output_axes=output_axes,
        unscored=description["unscored"],
        view=View.from_dict(description["view"]),
    )


def read_notes(folder: Path) -> dict[str, list[str]]:
    """Return what the evaluation data's files say of them: how they were read or made, and warnings."""
    description = json.loads((folder / DESCRIPTION).read_text())
    return {name: description.get(name, []) for name in ("notes", "warnings")}
