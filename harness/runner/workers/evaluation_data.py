"""The evaluation data as plain .npy files, so that a measuring worker needs no code of the dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, HarnessError
from harness.formats.outputs import OutputSpec
from harness.formats.target import Target
from harness.formats.tensors import Array, TensorSpec, describe_random, random_arrays
from harness.runner.workers.audits.same_outputs import difference
from harness.runner.workers.evaluation_view import View, checked, chosen_outputs, misfit, some, view_for
from harness.runtimes.registry import RUNTIMES, Runtime
from harness.zoo.default_metric import default_metric
from harness.zoo.registry import METRICS, Data
from harness.zoo.source import Source
from harness.zoo.user_metric import find_metric

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


@dataclass(frozen=True)
class Asked:
    """What a model's config says of its quality; `metric` None: found from outputs and labels.

    `stated`: a metric that does not fit is refused, not replaced. `folder` may hold a user's metric.
    """

    metric: str | None = None
    stated: bool = True
    output: str | int | None = None
    class_axis: int | None = None
    folder: Path = Path()
    outputs: tuple[OutputSpec, ...] = ()


def asked_of(source: Source, config: Any) -> Asked:
    """Return what a model's config asks for. A metric of the zoo is replaced where it does not fit."""
    names = type(config).model_fields
    stated = getattr(config, "metric", None)
    metric = stated if "metric" in names else source.metric(config)
    return Asked(
        metric, stated is not None, getattr(config, "output", None), getattr(config, "class_axis", None)
    )


def write_evaluation_data(
    folder: Path,
    source: Artifact,
    inputs: tuple[TensorSpec, ...],
    data: Data | None,
    asked: Asked | str,
    seed: int,
) -> None:
    """Write inputs and truth; a metric that needs a reference gets the original model's outputs.

    A metric that fits neither outputs nor labels is refused here, before anything is timed: BuildError.
    """
    asked = Asked(asked) if isinstance(asked, str) else asked
    if data is None:
        rng = np.random.default_rng(seed)
        data = Data(random_arrays(inputs, RANDOM_SAMPLES, rng), notes=describe_random(inputs))
    chosen = _choose(folder, source, data, asked)
    for i, array in enumerate(data.inputs):
        np.save(folder / f"input_{i}.npy", np.ascontiguousarray(array))
    description = {
        "inputs": len(data.inputs),
        "metric": chosen.metric,
        "view": chosen.view.to_dict(),
        "notes": [*data.notes, *chosen.notes],
        "warnings": [*data.warnings, *chosen.warnings],
    }
    (folder / DESCRIPTION).write_text(json.dumps(description))


def read_evaluation_data(folder: Path) -> EvaluationData:
    """Open the files that `write_evaluation_data` wrote."""
    description = json.loads((folder / DESCRIPTION).read_text())
    arrays = tuple(np.load(folder / f"input_{i}.npy", mmap_mode="r") for i in range(description["inputs"]))
    view = View.from_dict(description.get("view", {}))
    truth = np.load(folder / "truth.npy", mmap_mode="r")
    return EvaluationData(arrays, truth, description["metric"], view=view)


def read_notes(folder: Path) -> dict[str, list[str]]:
    """Return what the evaluation data's files say of them: how they were read or made, and warnings."""
    description = json.loads((folder / DESCRIPTION).read_text())
    return {name: description.get(name, []) for name in ("notes", "warnings")}


def reference_runtime(format: str) -> Runtime | None:
    """Return the runtime for reference outputs: the first that takes this format on the CPU."""
    fit = (r for r in RUNTIMES.values() if format in r.takes and "cpu" in r.devices and not r.missing())
    return next(fit, None)


@dataclass(frozen=True)
class _Chosen:
    """What is scored how, and what is told of it; ``truth.npy`` is written."""

    metric: str
    view: View
    notes: list[str]
    warnings: list[str]


def _choose(folder: Path, source: Artifact, data: Data, asked: Asked) -> _Chosen:
    """Find the metric and the view, write the truth. Raises BuildError for a stated metric that misfits."""
    metric = None if asked.metric is None else find_metric(asked.metric, asked.folder)
    if metric is not None and data.labels is None and not metric.needs_reference:
        fit = "without a dataset use agreement, relative-error or cosine"
        raise BuildError(f"the metric {asked.metric} needs labels; {fit}")
    labels = data.labels if metric is None or not metric.needs_reference else None
    place, own, warnings = folder / "truth.npy", folder / "reference.npy", list[str]()
    try:
        view, reference = _reference(source, data, asked, own, labels is None, warnings)
    except BuildError:
        raise
    except Exception:  # each runtime raises its own; labels alone need no reference
        if labels is None:
            raise
        np.save(place, labels)
        return _Chosen(asked.metric or "top-1", View(), ["metric: not checked before timing"], [])
    seen, seen_labels = some(reference, labels)
    notes, name = [], asked.metric
    if metric is not None and name is not None:
        why = misfit(metric, view, seen, seen_labels, asked.class_axis)
        if why and asked.stated:
            checked(name, metric, view, seen, seen_labels, asked.class_axis)
        metric = None if why else metric
    if metric is None:
        spec = asked.outputs[view.outputs[0]].name if view.outputs[0] < len(asked.outputs) else ""
        default = default_metric(seen, seen_labels, spec)
        name, metric = default.metric, METRICS.get(default.metric)
        notes.append(f"metric: {name}, since {default.why}")
        checked(name, metric, view, seen, seen_labels, asked.class_axis)
    assert name is not None  # noqa: S101
    view, truth = view_for(metric, view, reference, labels, asked.class_axis)
    if view.class_axis is not None and reference.ndim > 2:
        notes.append(
            f"classes on axis {view.class_axis} of the output {reference.shape[1:]}, the batch is axis 0"
        )
    if len(view.outputs) > 1:
        notes.append(f"metric of all {len(view.outputs)} outputs together, each scaled to its own size")
    if truth is not None:
        np.save(place, truth)
    elif view.class_axis in (None, reference.ndim - 1):
        own.rename(place)
    else:
        np.save(place, np.moveaxis(reference, view.class_axis, -1))
    own.unlink(missing_ok=True)
    return _Chosen(name, view, notes, warnings)


def _reference(
    source: Artifact, data: Data, asked: Asked, place: Path, every: bool, warnings: list[str]
) -> tuple[View, Array]:
    """Return the view of the original model's outputs, and what it sees of them, written to `place`.

    `every`: of all samples; else of the first batch only. The CPU computes them.
    """
    runtime = reference_runtime(source.format)
    if runtime is None:
        problem = f"no runtime takes the format {source.format}: reference outputs cannot be computed"
        raise BuildError(problem) if every else HarnessError(problem)
    probe = runtime.open_session(runtime.config(), source, Target(batch=REFERENCE_BATCH))
    try:
        size = probe.fixed_batch or REFERENCE_BATCH
        samples = EvaluationData(data.inputs, data.inputs[0], "")
        first = [np.array(part) for part in probe.run(samples.batch(0, size))]
        view = _whole_view(asked, first, size)
        kept: Any = None
        for i in range(-(-len(data) // size) if every else 1):
            outputs = first if i == 0 else [np.asarray(part) for part in probe.run(samples.batch(i, size))]
            rows = view.of(outputs)
            if rows.dtype.kind in "fc" and np.isnan(rows).any():
                problem = "the original model's output contains NaN, so nothing can be compared with it"
                raise BuildError(problem) if every else HarnessError(problem)
            if kept is None:
                shape = (len(data) if every else min(size, len(data)), *rows.shape[1:])
                kept = np.lib.format.open_memmap(place, mode="w+", dtype=rows.dtype, shape=shape)
            kept[i * size : (i + 1) * size] = rows[: len(kept) - i * size]
        assert kept is not None  # noqa: S101
        kept.flush()
        if fault := _batch_matters(runtime, source, samples, first):
            warnings.append(
                f"the model's outputs depend on the rest of the batch ({fault}); the reference outputs are "
                f"of batch {size}"
            )
        return view, kept
    finally:
        probe.close()


def _whole_view(asked: Asked, first: list[Array], size: int) -> View:
    """Return the view of the outputs that are asked for, without class axis."""
    chosen = chosen_outputs(asked.output, asked.outputs, len(first))
    if any(first[index].shape[:1] != (size,) for index in chosen):
        which = "first output" if asked.output is None else f"output {asked.output}"
        raise BuildError(f"the model's {which} does not have the batch as its first dimension")
    scales = []
    for index in chosen if len(chosen) > 1 else ():
        length = (
            float(np.sqrt(np.mean(np.square(first[index], dtype=np.float64)))) if first[index].size else 0.0
        )
        scales.append(1 / length if np.isfinite(length) and length > 0 else 1.0)
    return View(chosen, scales=tuple(scales))


def _batch_matters(
    runtime: Runtime, source: Artifact, samples: EvaluationData, first: list[Array]
) -> str | None:
    """Return how outputs of half the reference's batch differ from those of the whole, `first`, or None."""
    size, half = REFERENCE_BATCH, REFERENCE_BATCH // 2
    try:
        other_session = runtime.open_session(runtime.config(), source, Target(batch=half))
        try:
            if other_session.fixed_batch not in (None, half):
                return None
            theirs = [np.array(part) for part in other_session.run(samples.batch(0, half))]
        finally:
            other_session.close()
    except Exception:  # each runtime raises its own; another batch than the reference's is not needed
        return None
    for ours, other in zip(first, theirs, strict=True):
        if (
            ours.shape[:1] == (size,)
            and other.shape[:1] == (half,)
            and (fault := difference(ours[:half], other))
        ):
            return fault.replace("when timed ", "").replace("the evaluation", f"batch {half}")
    return None
