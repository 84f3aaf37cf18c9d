"""The quality set as plain .npy files, so that a measuring worker reads it without the dataset's code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.tensors import Array, TensorSpec
from harness.runtimes.registry import RUNTIMES, Runtime
from harness.zoo.registry import METRICS, Data

RANDOM_SAMPLES = 256
"""Items of the quality set where a model has no dataset: random inputs, answered by the model as given."""
DESCRIPTION = "data.json"


@dataclass(frozen=True)
class EvaluationData:
    """The quality set: inputs (items, *shape), memory-mapped; the truth is labels or reference outputs."""

    inputs: tuple[Array, ...]
    truth: Array
    metric: str

    def __len__(self) -> int:
        return len(self.truth)

    def batch(self, index: int, size: int) -> tuple[Array, ...]:
        """Items ``[index·size, (index + 1)·size)``, wrapped around at the end, copied into memory."""
        chosen = np.arange(index * size, (index + 1) * size) % len(self)
        return self._items(chosen)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        """Return `size` items at random, each at most once as long as there are enough."""
        return self._items(rng.choice(len(self), size, replace=size > len(self)))

    def _items(self, chosen: Array) -> tuple[Array, ...]:
        return tuple(np.ascontiguousarray(array[chosen]) for array in self.inputs)


def write_evaluation_data(
    folder: Path,
    source: Artifact,
    inputs: tuple[TensorSpec, ...],
    data: Data | None,
    metric: str,
    seed: int,
) -> None:
    """Write inputs and truth. A metric that compares with reference outputs gets the source model's own."""
    if data is None:
        rng = np.random.default_rng(seed)
        data = Data(tuple(spec.random(RANDOM_SAMPLES, rng) for spec in inputs))
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
    (folder / DESCRIPTION).write_text(json.dumps({"inputs": len(data.inputs), "metric": metric}))


def read_evaluation_data(folder: Path) -> EvaluationData:
    """Open what `write_evaluation_data` wrote."""
    description = json.loads((folder / DESCRIPTION).read_text())
    arrays = tuple(np.load(folder / f"input_{i}.npy", mmap_mode="r") for i in range(description["inputs"]))
    return EvaluationData(arrays, np.load(folder / "truth.npy", mmap_mode="r"), description["metric"])


def reference_runtime(format: str) -> Runtime | None:
    """The runtime that answers for the model as given: the first that takes its form on the CPU."""
    fit = (r for r in RUNTIMES.values() if format in r.takes and "cpu" in r.devices and not r.missing())
    return next(fit, None)


def _reference_outputs(source: Artifact, data: Data) -> Array:
    """First outputs of the model as given, on the CPU."""
    runtime = reference_runtime(source.format)
    if runtime is None:
        raise BuildError(f"no runtime takes the form {source.format}: reference outputs cannot be computed")
    probe = runtime.open_session(runtime.config(), source, Target(batch=1))
    size = probe.fixed_batch or 32
    count = len(data) // size * size if probe.fixed_batch else len(data)
    rows = [
        np.asarray(probe.run([array[start : start + size] for array in data.inputs])[0])
        for start in range(0, count, size)
    ]
    probe.close()
    if not rows:
        raise BuildError(
            f"the quality set has fewer items ({len(data)}) than the model's fixed batch ({size})"
        )
    if any(row.ndim == 0 for row in rows) or sum(map(len, rows)) != count:
        raise BuildError("the model's first output does not have the batch as its first dimension")
    outputs = np.concatenate(rows)
    if outputs.dtype.kind in "fc" and np.isnan(outputs).any():
        raise BuildError("the model as given answers NaN, so nothing can be compared with it")
    return outputs
