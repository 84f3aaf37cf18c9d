"""The evaluation data as plain .npy files, so that a measuring worker needs no code of the dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.tensors import Array, TensorSpec, completed, describe_random, place, random_arrays
from harness.runner.workers.output_axes import OutputAxes, find_output_axes, rows
from harness.runtimes.registry import RUNTIMES, Runtime, Session
from harness.zoo.registry import METRICS, Data

RANDOM_SAMPLES = 256
"""Samples of the evaluation data where a model has no dataset: random inputs, original model's outputs."""
REFERENCE_BATCH = 32
"""Batch in which reference outputs are computed, where the model's is free."""
POOL_BYTES, MAX_POOL = 64_000_000, 16
"""Distinct batches that timed calls take in rotation: at most so many and so many bytes, at least two."""
DESCRIPTION = "data.json"


@dataclass(frozen=True)
class EvaluationData:
    """Inputs (samples, *shape), memory-mapped, and the truth: labels or reference outputs.

    `positions` are those of the samples in these arrays; None: all of them, in order. `axes` are the batch
    axes of the model's inputs and `output_axes` those of its outputs, empty: all are 0. `unscored` says why
    the outputs cannot be divided into samples, so that there is no quality; the truth is then empty values.
    """

    inputs: tuple[Array, ...]
    truth: Array
    metric: str
    positions: Array | None = None
    axes: tuple[int | None, ...] = ()
    output_axes: tuple[int | None, ...] = ()
    unscored: str | None = None

    def __len__(self) -> int:
        return len(self.truth if self.positions is None else self.positions)

    def sample(self, count: int | None, seed: int) -> EvaluationData:
        """Return `count` samples drawn at random, in order; all where there are no more, or for None."""
        if count is None or count >= len(self):
            return self
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return replace(self, positions=np.sort(drawn))

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


def write_evaluation_data(
    folder: Path,
    source: Artifact,
    inputs: tuple[TensorSpec, ...],
    data: Data | None,
    metric: str,
    seed: int,
    output_axes: Mapping[str, int | None] | None = None,
) -> None:
    """Write inputs and truth; a metric that needs a reference gets the original model's outputs.

    `output_axes` are batch axes of outputs by name, which are not looked for.
    """
    if data is None:
        rng = np.random.default_rng(seed)
        data = Data(random_arrays(inputs, RANDOM_SAMPLES, rng), notes=describe_random(inputs))
    else:
        data = replace(data, inputs=completed(data.inputs, inputs))
    data = replace(data, axes=tuple(spec.batch_axis for spec in inputs))
    reference = _Reference(source, data, inputs, seed, output_axes or {})
    unscored = reference.unscored()
    truth: Array
    if unscored is not None:
        truth = np.zeros(len(data), np.int8)
    elif METRICS.get(metric).needs_reference:
        truth = reference.outputs()
    elif data.labels is None:
        raise BuildError(f"the metric {metric} needs labels; without a dataset use agreement or cosine")
    else:
        truth = data.labels
    for i, array in enumerate(data.inputs):
        same = data.axes[i] is None  # one sample is enough, which is repeated when it is read
        np.save(folder / f"input_{i}.npy", np.ascontiguousarray(array[:1] if same else array))
    np.save(folder / "truth.npy", truth)
    description = {
        "inputs": len(data.inputs),
        "metric": metric,
        "axes": data.axes,
        "output_axes": reference.axes.axes,
        "unscored": unscored,
        "notes": data.notes,
        "warnings": data.warnings,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description))


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
    )


def read_notes(folder: Path) -> dict[str, list[str]]:
    """Return what the evaluation data's files say of them: how they were read or made, and warnings."""
    description = json.loads((folder / DESCRIPTION).read_text())
    return {name: description.get(name, []) for name in ("notes", "warnings")}


def reference_runtime(format: str) -> Runtime | None:
    """Return the runtime for reference outputs: the first that takes this format on the CPU."""
    fit = (r for r in RUNTIMES.values() if format in r.takes and "cpu" in r.devices and not r.missing())
    return next(fit, None)


class _Reference:
    """The original model on the CPU, which gives reference outputs and shows where their batch is."""

    def __init__(
        self,
        source: Artifact,
        data: Data,
        inputs: tuple[TensorSpec, ...],
        seed: int,
        given: Mapping[str, int | None],
    ) -> None:
        self.source, self.data = source, data
        self.runtime = reference_runtime(source.format)
        self.axes = OutputAxes(())
        if self.runtime is not None:
            self.axes = find_output_axes(self._open_at, inputs, seed, given)

    def _open_at(self, batch: int) -> Session:
        if self.runtime is None:
            raise BuildError(
                f"no runtime takes the format {self.source.format}: reference outputs cannot be computed"
            )
        return self.runtime.open_session(self.runtime.config(), self.source, Target(batch=batch))

    def unscored(self) -> str | None:
        """Return why the first output cannot be divided into samples; None where it can."""
        if not self.axes.axes or self.axes.axes[0] is not None:
            return None
        return (
            "no quality: the first output has no dimension that is the batch, or its size depends on the "
            "inputs' values, so it cannot be divided into samples"
        )

    def outputs(self) -> Array:
        """Return the original model's first output for each sample."""
        probe = self._open_at(self.axes.only_batch or REFERENCE_BATCH)
        size = probe.fixed_batch or self.axes.only_batch or REFERENCE_BATCH
        data = self.data
        samples = EvaluationData(data.inputs, data.inputs[0], "", axes=data.axes, output_axes=self.axes.axes)
        found = [
            samples.output_rows(probe.run(samples.batch(i, size)))[0] for i in range(-(-len(data) // size))
        ]
        probe.close()
        if any(part.shape[:1] != (size,) for part in found):
            raise BuildError(
                "the batch is not the dimension of the model's first output that the suite gives"
            )
        outputs = np.concatenate(found)[: len(data)]
        if outputs.dtype.kind in "fc" and np.isnan(outputs).any():
            raise BuildError("the original model's output contains NaN, so nothing can be compared with it")
        return outputs
