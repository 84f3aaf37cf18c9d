"""What metrics share: checks of outputs, references and labels, and what says that a metric does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array

Scores = NDArray[np.float64]

IGNORED = 255
"""Label of a position that has no class, in images (PASCAL VOC, Cityscapes); so is any negative label."""


class Scored:
    """Base of metrics: a metric fits outputs and truth that it can score.

    `budget` is the loss that a suite allows by default, in the metric's unit. Metrics in points have
    `max_drop`, and errors in the unit of the labels can have no default.
    """

    budget: float | None = None

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Return a score, or a row of what `whole` needs, for each sample."""
        raise NotImplementedError

    def misfit(self, outputs: tuple[Array, ...], truth: Array) -> str | None:
        """Return why the metric cannot score these, or None."""
        try:
            self.score(outputs, truth)
        except DataError as error:
            return str(error)
        return None


def flat_pair(
    name: str, outputs: tuple[Array, ...], truth: Array, *, labels: bool = False
) -> tuple[Scores, Scores]:
    """Return `outputs[0]` and the truth, both as (samples, values) in float64.

    Raises DataError, naming the metric, unless both have the same shape, with at least one value a sample.
    Of `labels`, axes of length 1 do not count: (samples,) fits outputs (samples, 1).
    """
    found = outputs[0] if outputs else np.empty(0)
    same = found.ndim > 0 and found.shape == truth.shape
    if labels and found.ndim:
        same = found.shape[:1] == truth.shape[:1] and _lengths(found) == _lengths(truth)
    whose = "labels'" if labels else "reference's"
    if not same or found.dtype.kind not in "fiub" or truth.dtype.kind not in "fiub":
        raise DataError(
            f"{name} takes real outputs of the {whose} shape {truth.shape}, not {found.dtype} {found.shape}"
        )
    values = int(np.prod(found.shape[1:], dtype=np.int64))
    if values == 0:
        raise DataError(f"{name} takes samples with at least one value, not {found.shape}")
    size = (len(found), values)
    return found.reshape(size).astype(np.float64), truth.reshape(size).astype(np.float64)


def _lengths(array: Array) -> list[int]:
    return [length for length in array.shape[1:] if length != 1]


def logits_and_labels(name: str, outputs: tuple[Array, ...], truth: Array) -> tuple[Array, Array]:
    """Return `outputs[0]` (samples, …, classes) and integer labels (samples, …), checked against each other.

    Raises DataError, naming the metric, where shapes or labels do not fit; labels without a class do.
    """
    logits = outputs[0] if outputs else np.empty(0)
    if logits.ndim < 2 or truth.shape != logits.shape[:-1] or logits.shape[-1] == 0:
        raise DataError(
            f"{name} takes outputs (samples, …, classes) and labels (samples, …), "
            f"not {logits.shape} and {truth.shape}"
        )
    classes = logits.shape[-1]
    check_labels(name, truth[has_class(truth, classes)], classes)
    return logits, truth


def has_class(labels: Array, classes: int) -> NDArray[np.bool_]:
    """Return where labels name a class. Labels of positions may be negative, or 255, to name none."""
    if labels.ndim < 2:
        return np.ones(labels.shape, dtype=np.bool_)
    numbers: NDArray[np.float64] = labels.astype(np.float64)
    return np.asarray((numbers >= 0) & ((numbers != IGNORED) | (classes > IGNORED)), dtype=np.bool_)


def predicted(logits: Array) -> NDArray[np.int64]:
    """Return the class of the largest value along the last axis, the first of equal ones; -1 for NaN."""
    best = logits.argmax(axis=-1)
    if logits.dtype.kind == "f":
        best = np.where(np.isnan(logits).any(axis=-1), -1, best)
    return np.asarray(best, dtype=np.int64)


def mean_over_positions(right: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Scores:
    """Return each sample's share of `counted` positions that are right; NaN without one."""
    size = (len(right), -1)
    counts = counted.reshape(size).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((right & counted).reshape(size).sum(axis=1) / counts, dtype=np.float64)


def check_labels(name: str, labels: Array, classes: int) -> None:
    """Raise DataError, naming the metric, unless all `labels` are integers in [0, classes)."""
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} takes integer labels, not {labels.dtype}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(f"{name} takes labels from 0 to {classes - 1}, not {labels.min()} to {labels.max()}")
