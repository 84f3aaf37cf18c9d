"""The evaluation data as plain .npy files, so that a measuring worker needs no code of the dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.tensors import Array, TensorSpec, describe_random, random_arrays
from harness.runtimes.registry import RUNTIMES, Runtime
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

    `positions` are those of the samples in these arrays; None: all of them, in order.
    """

    inputs: tuple[Array, ...]
    truth: Array
    metric: str
    positions: Array | None = None

    def __len__(self) -> int:
        return len(self.truth if self.positions is None else self.positions)

    def sample(self, count: int | None, seed: int) -> EvaluationData:
        """Return `count` samples drawn at random, in order; all where there are no more, or for None."""
        if count is None or count >= len(self):
            return self
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return replace(self, positions=np.sort(drawn))

    def batch(self, index: int, size: int) -> tuple[Array, ...]:
        """Return a copy of samples ``[index·size, (index + 1)·size)``, wrapped around at the end."""
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
        return tuple(np.ascontiguousarray(array[chosen]) for array in self.inputs)


def write_evaluation_data(
    folder: Path,
    source: Artifact,
    inputs: tuple[TensorSpec, ...],
    data: Data | None,
    metric: str,
    seed: int,
) -> None:
    """Write inputs and truth; a metric that needs a reference gets the original model's outputs."""
    if data is None:
        rng = np.random.default_rng(seed)
        data = Data(random_arrays(inputs, RANDOM_SAMPLES, rng), notes=describe_random(inputs))
    truth: Array
    if METRICS.get(metric).needs_reference:
        truth = _reference_outputs(source, data)
    elif data.labels is None:
        raise BuildError(f"the metric {metric} needs labels; without a dataset use agreement or cosine")
    else:
        truth = data.labels
    for i, array in enumerate(data.inputs):
        np.save(folder / f"input_{i}.npy", np.ascontiguousarray(array))
    np.save(folder / "truth.npy", truth)
    description = {
        "inputs": len(data.inputs),
        "metric": metric,
        "notes": data.notes,
        "warnings": data.warnings,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description))


def read_evaluation_data(folder: Path) -> EvaluationData:
    """Open the files that `write_evaluation_data` wrote."""
    description = json.loads((folder / DESCRIPTION).read_text())
    arrays = tuple(np.load(folder / f"input_{i}.npy", mmap_mode="r") for i in range(description["inputs"]))
    return EvaluationData(arrays, np.load(folder / "truth.npy", mmap_mode="r"), description["metric"])


def read_notes(folder: Path) -> dict[str, list[str]]:
    """Return what the evaluation data's files say of them: how they were read or made, and warnings."""
    description = json.loads((folder / DESCRIPTION).read_text())
    return {name: description.get(name, []) for name in ("notes", "warnings")}


def reference_runtime(format: str) -> Runtime | None:
    """Return the runtime for reference outputs: the first that takes this format on the CPU."""
    fit = (r for r in RUNTIMES.values() if format in r.takes and "cpu" in r.devices and not r.missing())
    return next(fit, None)


def _reference_outputs(source: Artifact, data: Data) -> Array:
    """Return the original model's first output for each sample, computed on the CPU."""
    runtime = reference_runtime(source.format)
    if runtime is None:
        raise BuildError(f"no runtime takes the format {source.format}: reference outputs cannot be computed")
    probe = runtime.open_session(runtime.config(), source, Target(batch=REFERENCE_BATCH))
    size = probe.fixed_batch or REFERENCE_BATCH
    samples = EvaluationData(data.inputs, data.inputs[0], "")
    rows = [np.asarray(probe.run(samples.batch(i, size))[0]) for i in range(-(-len(data) // size))]
    probe.close()
    if any(row.shape[:1] != (size,) for row in rows):
        raise BuildError("the model's first output does not have the batch as its first dimension")
    outputs = np.concatenate(rows)[: len(data)]
    if outputs.dtype.kind in "fc" and np.isnan(outputs).any():
        raise BuildError("the original model's output contains NaN, so nothing can be compared with it")
    return outputs
