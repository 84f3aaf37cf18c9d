"""Writes the evaluation data: inputs, the truth, and what of the model's outputs is scored by which metric.

The build worker calls it. A metric that fits neither outputs nor labels is refused here, before anything is
timed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, HarnessError
from harness.formats.outputs import OutputSpec
from harness.formats.target import Target
from harness.formats.tensors import Array, TensorSpec, completed, describe_random, random_arrays
from harness.runner.workers.audits.same_outputs import difference
from harness.runner.workers.evaluation_data import DESCRIPTION, EvaluationData
from harness.runner.workers.evaluation_view import View, checked, chosen_outputs, misfit, some, view_for
from harness.runner.workers.output_axes import OutputAxes, find_output_axes
from harness.runtimes.registry import RUNTIMES, Runtime, Session
from harness.zoo.default_metric import default_metric
from harness.zoo.registry import METRICS, Data
from harness.zoo.source import Source
from harness.zoo.user_metric import find_metric

RANDOM_SAMPLES = 256
"""Samples of the evaluation data where a model has no dataset: random inputs, original model's outputs."""
REFERENCE_BATCH = 32
"""Batch in which reference outputs are computed, where the model's is free."""
UNSCORED = (
    "no quality: the output has no batch dimension, or its size depends on the values of the inputs, so "
    "it cannot be cut into samples"
)


@dataclass(frozen=True)
class Asked:
    """What a model's config says of its quality; `metric` None: found from outputs and labels.

    `stated`: a metric that does not fit is refused, not replaced. `folder` may hold a user's metric.
    `output_axes` are batch axes of outputs by name, which are not looked for.
    """

    metric: str | None = None
    stated: bool = True
    output: str | int | None = None
    class_axis: int | None = None
    folder: Path = Path()
    outputs: tuple[OutputSpec, ...] = ()
    output_axes: Mapping[str, int | None] = field(default_factory=dict)


def asked_of(source: Source, config: Any) -> Asked:
    """Return what a model's config asks for. A metric of the zoo is replaced where it does not fit."""
    stated = getattr(config, "metric", None)
    metric = stated if "metric" in type(config).model_fields else source.metric(config)
    return Asked(
        metric,
        stated is not None,
        getattr(config, "output", None),
        getattr(config, "class_axis", None),
        output_axes={name: one.batch_axis for name, one in getattr(config, "outputs", {}).items()},
    )


@dataclass(frozen=True)
class _Chosen:
    """What is scored how, and what is told of it; ``truth.npy`` is written."""

    metric: str
    view: View = field(default_factory=View)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    axes: tuple[int | None, ...] = ()
    unscored: str | None = None


def write_evaluation_data(
    folder: Path,
    source: Artifact,
    inputs: tuple[TensorSpec, ...],
    data: Data | None,
    asked: Asked | str,
    seed: int,
) -> None:
    """Write inputs and truth; a metric that needs a reference gets the original model's outputs.

    Raises BuildError for a metric that the suite states and that does not fit.
    """
    asked = Asked(asked) if isinstance(asked, str) else asked
    if data is None:
        rng = np.random.default_rng(seed)
        data = Data(random_arrays(inputs, RANDOM_SAMPLES, rng), notes=describe_random(inputs))
    else:
        data = replace(data, inputs=completed(data.inputs, inputs))
    data = replace(data, axes=tuple(spec.batch_axis for spec in inputs))
    chosen = _choose(folder, _Reference(source, data, inputs, seed, asked), data, asked)
    for i, array in enumerate(data.inputs):
        same = data.axes[i] is None  # one sample is enough, which is repeated when it is read
        np.save(folder / f"input_{i}.npy", np.ascontiguousarray(array[:1] if same else array))
    description = {
        "inputs": len(data.inputs),
        "metric": chosen.metric,
        "view": asdict(chosen.view),
        "axes": data.axes,
        "output_axes": chosen.axes,
        "unscored": chosen.unscored,
        "notes": [*data.notes, *chosen.notes],
        "warnings": [*data.warnings, *chosen.warnings],
    }
    (folder / DESCRIPTION).write_text(json.dumps(description))


def reference_runtime(format: str) -> Runtime | None:
    """Return the runtime for reference outputs: the first that takes this format on the CPU."""
    fit = (r for r in RUNTIMES.values() if format in r.takes and "cpu" in r.devices and not r.missing())
    return next(fit, None)


def _choose(folder: Path, reference: _Reference, data: Data, asked: Asked) -> _Chosen:
    """Find the metric and the view, and write the truth. Raises BuildError where a stated one misfits."""
    metric = None if asked.metric is None else find_metric(asked.metric, asked.folder)
    if metric is not None and data.labels is None and not metric.needs_reference:
        fit = "without a dataset use agreement, relative-error or cosine"
        raise BuildError(f"the metric {asked.metric} needs labels; {fit}")
    labels = data.labels if metric is None or not metric.needs_reference else None
    place, own = folder / "truth.npy", folder / "reference.npy"
    axes, first = reference.axes.axes, asked.metric or "relative-error"
    if reference.unscored:
        np.save(place, np.zeros(len(data), np.int8))
        return _Chosen(first, axes=axes, unscored=UNSCORED)
    try:
        view, outputs, warnings = reference.write(own, every=labels is None)
    except BuildError:
        raise
    except Exception:  # each runtime raises its own; labels alone need no reference
        if labels is None:
            raise
        np.save(place, labels)
        return _Chosen(asked.metric or "top-1", notes=["metric: not checked before timing"], axes=axes)
    name, notes = _metric(view, *some(outputs, labels), asked)
    view, truth = view_for(find_metric(name, asked.folder), view, outputs, labels, asked.class_axis)
    if view.class_axis is not None and outputs.ndim > 2:
        notes.append(
            f"classes on axis {view.class_axis} of the output {outputs.shape[1:]}, the batch is axis 0"
        )
    if len(view.outputs) > 1:
        notes.append(f"metric of all {len(view.outputs)} outputs together, each scaled to its own size")
    if truth is not None:
        np.save(place, truth)
    elif view.class_axis in (None, outputs.ndim - 1):
        own.rename(place)
    else:
        np.save(place, np.moveaxis(outputs, view.class_axis, -1))
    own.unlink(missing_ok=True)
    return _Chosen(name, view, notes, warnings, axes)


def _metric(view: View, seen: Array, labels: Array | None, asked: Asked) -> tuple[str, list[str]]:
    """Return the metric's name, as asked or by default, and a note about a default."""
    if asked.metric is not None:
        metric = find_metric(asked.metric, asked.folder)
        if asked.stated:
            checked(asked.metric, metric, view, seen, labels, asked.class_axis)
        if asked.stated or not misfit(metric, view, seen, labels, asked.class_axis):
            return asked.metric, []
    spec = asked.outputs[view.outputs[0]].name if view.outputs[0] < len(asked.outputs) else ""
    default = default_metric(seen, labels, spec)
    checked(default.metric, METRICS.get(default.metric), view, seen, labels, asked.class_axis)
    return default.metric, [f"metric: {default.metric}, since {default.why}"]


class _Reference:
    """The original model on the CPU, which gives reference outputs and shows where their batch is.

    `unscored`: the outputs that are asked for cannot be divided into samples.
    """

    def __init__(
        self, source: Artifact, data: Data, inputs: tuple[TensorSpec, ...], seed: int, asked: Asked
    ) -> None:
        self.source, self.asked, self.runtime = source, asked, reference_runtime(source.format)
        self.axes = OutputAxes(())
        self.chosen: tuple[int, ...] = (0,)
        if self.runtime is not None:
            self.axes = find_output_axes(self._open_at, inputs, seed, asked.output_axes)
            self.chosen = chosen_outputs(asked.output, asked.outputs, len(self.axes.axes))
        batched = tuple(i for i in self.chosen if not self.axes.axes or self.axes.axes[i] is not None)
        self.unscored = not batched
        self.chosen = batched if asked.output == "all" else self.chosen
        self.samples = EvaluationData(
            data.inputs, data.inputs[0], "", axes=data.axes, output_axes=self.axes.axes
        )

    def _open_at(self, batch: int) -> Session:
        if self.runtime is None:
            raise HarnessError(f"no runtime takes the format {self.source.format}: no reference outputs")
        return self.runtime.open_session(self.runtime.config(), self.source, Target(batch=batch))

    @contextmanager
    def _at(self, batch: int) -> Iterator[Session]:
        session = self._open_at(batch)
        try:
            yield session
        finally:
            session.close()

    def _run(self, session: Session, number: int, size: int) -> list[Array]:
        outputs = self.samples.output_rows(session.run(self.samples.batch(number, size)))
        return [np.array(part) for part in outputs]

    def write(self, place: Path, *, every: bool) -> tuple[View, Array, list[str]]:
        """Return the view of the outputs, what it sees of them, written to `place`, and warnings.

        `every`: of all samples; else of the first batch only.
        """
        if self.runtime is None and every:
            raise BuildError(
                f"no runtime takes the format {self.source.format}: reference outputs cannot be computed"
            )
        with self._at(self.axes.only_batch or REFERENCE_BATCH) as session:
            size = session.fixed_batch or self.axes.only_batch or REFERENCE_BATCH
            first = self._run(session, 0, size)
            view, kept, total = self._view(first, size), None, len(self.samples)
            for i in range(-(-total // size) if every else 1):
                seen = view.of(first if i == 0 else self._run(session, i, size))
                if seen.dtype.kind in "fc" and np.isnan(seen).any():
                    problem = "the original model's output contains NaN, so nothing can be compared with it"
                    raise BuildError(problem) if every else HarnessError(problem)
                if kept is None:
                    shape = (total if every else min(size, total), *seen.shape[1:])
                    kept = np.lib.format.open_memmap(place, mode="w+", dtype=seen.dtype, shape=shape)
                kept[i * size : (i + 1) * size] = seen[: len(kept) - i * size]
        assert kept is not None  # noqa: S101
        kept.flush()
        return view, kept, self._warnings(first, size)

    def _view(self, first: list[Array], size: int) -> View:
        """Return the view of the outputs that are asked for, without class axis."""
        if any(first[index].shape[:1] != (size,) for index in self.chosen):
            which = "first output" if self.asked.output is None else f"output {self.asked.output}"
            raise BuildError(f"the batch is not the dimension of the model's {which} that the suite gives")
        return View(self.chosen, scales=tuple(_scale(first[i]) for i in self.chosen if len(self.chosen) > 1))

    def _warnings(self, first: list[Array], size: int) -> list[str]:
        """Return a warning where the outputs of half a batch differ from those of the whole one, `first`."""
        half = size // 2
        try:
            with self._at(half) as session:
                if session.fixed_batch not in (None, half):
                    return []
                theirs = self._run(session, 0, half)
        except Exception:  # each runtime raises its own; another batch than the reference's is not needed
            return []
        for ours, other in zip(first, theirs, strict=True):
            if (
                ours.shape[:1] == (size,)
                and other.shape[:1] == (half,)
                and (fault := difference(ours[:half], other))
            ):
                fault = fault.replace("when timed ", "").replace("the evaluation", f"batch {half}")
                return [
                    f"the model's outputs depend on the rest of the batch ({fault}); the reference outputs "
                    f"are of batch {size}"
                ]
        return []


def _scale(output: Array) -> float:
    """Return the factor that gives an output a root mean square of 1; 1 where it has none."""
    length = float(np.sqrt(np.mean(np.square(output, dtype=np.float64)))) if output.size else 0.0
    return 1 / length if np.isfinite(length) and length > 0 else 1.0
