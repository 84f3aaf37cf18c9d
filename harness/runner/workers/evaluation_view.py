"""What the evaluation takes of a model's outputs: which of them, and where their classes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import BuildError
from harness.formats.outputs import OutputSpec
from harness.formats.tensors import Array
from harness.zoo.default_metric import class_axis, fitting, is_binary, labels_shape
from harness.zoo.registry import METRICS, Metric

CHECKED_BYTES = 64_000_000
"""Reference outputs of at most so many bytes decide which metric fits."""


@dataclass(frozen=True)
class View:
    """Which `outputs` are scored, by index; the `class_axis` that is moved to the end; a binary `threshold`.

    Several outputs are flattened and joined, each times its entry of `scales`.
    """

    outputs: tuple[int, ...] = (0,)
    class_axis: int | None = None
    threshold: float | None = None
    scales: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> View:
        """Read what `asdict` wrote as JSON."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**plain)

    def of(self, outputs: Sequence[Array]) -> Array:
        """Return what is scored of a batch's outputs."""
        if len(self.outputs) > 1:
            parts = [np.asarray(outputs[index]) for index in self.outputs]
            flat = [part.reshape(len(part), -1) for part in parts]
            return np.hstack(
                [part.astype(np.float64) * scale for part, scale in zip(flat, self.scales, strict=True)]
            )
        found = np.asarray(outputs[self.outputs[0]])
        if self.threshold is not None:
            return np.stack([np.full_like(found, self.threshold), found], axis=-1)
        if self.class_axis is not None and found.ndim > self.class_axis:
            return np.moveaxis(found, self.class_axis, -1)
        return found


def chosen_outputs(wanted: str | int | None, specs: Sequence[OutputSpec], count: int) -> tuple[int, ...]:
    """Return the indices of the outputs that `output:` names, of `count` outputs. Raises BuildError."""
    if wanted is None:
        return (0,)
    if wanted == "all":
        return tuple(range(count))
    names = [spec.name for spec in specs]
    index = names.index(wanted) if wanted in names else wanted
    if isinstance(index, int) and -count <= index < count:
        return (index % count,)
    known = ", ".join(names) if names else f"0 to {count - 1}"
    raise BuildError(f"output: the model has no output {wanted!r}; it has {known}, or all")


def view_for(
    metric: Metric, view: View, output: Array, labels: Array | None, stated: int | None
) -> tuple[View, Array | None]:
    """Return the view that `metric` needs of `output`, and the labels in its shape."""
    if not getattr(metric, "classes", False) or len(view.outputs) > 1:
        return view, labels
    if labels is not None and stated is None and class_axis(output.shape, labels) is None:
        if not is_binary(output, labels):
            return view, labels
        inside = float(output.min()) >= 0 and float(output.max()) <= 1
        shaped = labels.reshape(len(labels), *output.shape[1:]).astype(np.int64)
        return replace(view, threshold=0.5 if inside else 0.0), shaped
    if output.dtype.kind in "iub":
        return view, labels
    axis = class_axis(output.shape, labels) if stated is None else stated % output.ndim
    if labels is not None and axis is not None:
        labels = labels.reshape(labels_shape(output.shape, labels))
    return replace(view, class_axis=axis), labels


def checked(
    name: str, metric: Metric, view: View, output: Array, labels: Array | None, stated: int | None
) -> None:
    """Raise BuildError, with the metrics that fit, where `metric` does not fit a first part of the outputs.

    `output` is one output of the model as given; `labels` are those of the same samples.
    """
    if why := misfit(metric, view, output, labels, stated):
        every = {each: _pair(METRICS.get(each), view, output, labels, stated) for each in METRICS.names()}
        fit = fitting({each: pair for each, pair in every.items() if pair is not None})
        raise BuildError(
            f"the metric {name} does not fit: {why}; metrics that fit: {fit or 'a function of your own'}"
        )


def misfit(metric: Metric, view: View, output: Array, labels: Array | None, stated: int | None) -> str | None:
    """Return why the metric does not fit."""
    pair = _pair(metric, view, output, labels, stated)
    return "it needs labels" if pair is None else metric.misfit(*pair)


def _pair(
    metric: Metric, view: View, output: Array, labels: Array | None, stated: int | None
) -> tuple[tuple[Array, ...], Array] | None:
    """Return what the metric would score: the outputs, and the labels or the outputs again."""
    if metric.needs_reference:
        own, _ = view_for(metric, view, output, None, stated)
        seen = _seen(own, output)
        return (seen,), seen
    if labels is None:
        return None
    own, truth = view_for(metric, view, output, labels, stated)
    assert truth is not None  # noqa: S101 (labels stay labels)
    return (_seen(own, output),), truth


def _seen(view: View, output: Array) -> Array:
    return output if len(view.outputs) > 1 else replace(view, outputs=(0,)).of([output])


def some(output: Array, labels: Array | None) -> tuple[Array, Array | None]:
    """Return the first samples of an output and their labels, at most CHECKED_BYTES of outputs."""
    count = max(1, min(len(output), CHECKED_BYTES * len(output) // max(output.nbytes, 1)))
    return np.asarray(output[:count]), None if labels is None else np.asarray(labels[:count])
