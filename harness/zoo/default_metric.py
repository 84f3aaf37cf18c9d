"""The default metric of a model, its class axis and threshold, found from an output and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.formats.tensors import Array
from harness.zoo.registry import METRICS, Metric

EMBEDDINGS = ("embed", "feature", "hidden", "pool")
"""Parts of the names of outputs that are vectors, not classes."""
MAX_FITTING = 8


@dataclass(frozen=True)
class Default:
    """A metric's name, and why it was chosen."""

    metric: str
    why: str


def default_metric(output: Array, labels: Array | None, name: str = "") -> Default:
    """Return the metric for one output (samples, …) and labels; without labels, against the model as given.

    `output` are outputs of the model as given, `name` is the output's name. Without labels, only outputs
    (samples, classes) are taken for classes: the largest value of a map or sequence may be anything.
    """
    if labels is not None:
        return _with_labels(output, labels)
    per_sample = int(np.prod(output.shape[1:], dtype=np.int64))
    if output.dtype.kind in "iub":
        chosen = Default("agreement", "the output's values are integers")
        if METRICS.get(chosen.metric).misfit((output,), output) is None:
            return chosen
        return Default("relative-error", "the output's integers are the same for all samples")
    if per_sample == 1:
        return Default("relative-error", "the output is one number per sample")
    if output.ndim > 2:
        return Default("relative-error", f"the output is a map of shape {_text(output.shape[1:])} per sample")
    if any(part in name.lower() for part in EMBEDDINGS):
        return Default("cosine", f"the output {name!r} is a vector per sample")
    if why := METRICS.get("agreement").misfit((output,), output):
        return Default("relative-error", why)
    return Default("agreement", f"the output has {output.shape[1]} values per sample, taken for classes")


def _with_labels(output: Array, labels: Array) -> Default:
    if labels.dtype.kind in "iub":
        axis = class_axis(output.shape, labels)
        if axis is not None and output.dtype.kind == "f":
            classes = output.shape[axis]
            if output.ndim >= 4:
                return Default("mean-iou", f"labels of positions, {classes} classes on axis {axis}")
            return Default("top-1", f"integer labels, {classes} classes on axis {axis}")
        if output.dtype.kind in "iu" and output.shape == labels.shape:
            return Default("top-1", "the output's integers are taken for classes, as the labels are")
        if is_binary(output, labels):
            return Default("top-1", "labels are 0 or 1 for each value of the output")
    return Default("rmse", "labels are numbers for each value of the output")


def class_axis(shape: tuple[int, ...], labels: Array | None) -> int | None:
    """Return the axis of an output's `shape` (samples, …) that holds classes; None if no axis can.

    With labels, the output's shape without it is that of the labels. Without, it is the last axis of
    (samples, classes) and (samples, tokens, classes), and of images the shorter one of axis 1 and the last.
    """
    axes = [axis for axis in range(1, len(shape)) if shape[axis] > 1]
    if labels is not None:
        wanted = labels_shape(shape, labels)
        axes = [axis for axis in axes if (*shape[:axis], *shape[axis + 1 :])[1:] == wanted[1:]]
    if not axes:
        return None
    if len(shape) < 4:
        return axes[-1]
    return min(
        (axis for axis in (1, len(shape) - 1) if axis in axes), key=lambda a: shape[a], default=axes[0]
    )


def labels_shape(shape: tuple[int, ...], labels: Array) -> tuple[int, ...]:
    """Return the labels' shape without axes of length 1 that outputs of `shape` with classes do not have."""
    if labels.ndim == len(shape) and labels.ndim > 1 and 1 in labels.shape[1:]:
        at = labels.shape.index(1, 1)
        return (*labels.shape[:at], *labels.shape[at + 1 :])
    return labels.shape


def is_binary(output: Array, labels: Array) -> bool:
    """Whether each value of a float output has a label that is 0 or 1."""
    same = [n for n in output.shape[1:] if n > 1] == [n for n in labels.shape[1:] if n > 1]
    return (
        same and output.dtype.kind == "f" and labels.dtype.kind in "iub" and set(np.unique(labels)) <= {0, 1}
    )


def fitting(metrics: dict[str, tuple[tuple[Array, ...], Array]]) -> str:
    """Return the names of the metrics that fit; each has its outputs and truth."""
    found = [name for name, (outputs, truth) in metrics.items() if _fits(METRICS.get(name), outputs, truth)]
    return ", ".join(found[:MAX_FITTING])


def _fits(metric: Metric, outputs: tuple[Array, ...], truth: Array) -> bool:
    return metric.misfit(outputs, truth) is None


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
