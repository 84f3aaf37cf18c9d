"""Macro F1 and mean IoU: means over classes, of all samples together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.stats.jackknife import sample_values_of_sums
from harness.zoo.metrics.fidelity import Scored, Scores, has_class, logits_and_labels, predicted
from harness.zoo.registry import METRICS

MAX_CLASSES = 1000
"""Three counts a class are kept for each sample."""


class ClassCounts(Scored):
    """A mean over the classes that labels or predictions have, from counts of all samples.

    Positions without a class (negative labels, 255) do not count; a prediction of NaN is a wrong one.
    """

    unit = "pt"
    higher_is_better = True
    needs_reference = False
    classes = True

    def __init__(self, name: str, summary: str, weight: int) -> None:
        """Make a metric: ``weight``·hits / (labels + predictions - (2 - weight)·hits) for each class."""
        self.name, self.summary, self._weight = name, summary, weight

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Return each sample's hits, labels and predictions by class, (samples, 3·classes).

        `outputs[0]` are logits (samples, …, classes), `truth` integer labels (samples, …). Raises DataError
        when they do not fit.
        """
        logits, labels = logits_and_labels(self.name, outputs, truth)
        n, classes = len(logits), logits.shape[-1]
        if classes > MAX_CLASSES:
            raise DataError(f"{self.name} takes at most {MAX_CLASSES} classes, not {classes}")
        found, wanted = predicted(logits).reshape(n, -1), labels.reshape(n, -1).astype(np.int64)
        counted = has_class(labels, classes).reshape(n, -1)
        hits = (found == wanted) & counted
        parts = [_counts(wanted, hits, classes), _counts(wanted, counted, classes)]
        return np.hstack([*parts, _counts(found, counted & (found >= 0), classes)])

    def whole(self, rows: Scores) -> Scores:
        """Return a value for each sample, whose mean is the metric of all (stats/jackknife.py)."""
        return sample_values_of_sums(rows, self._mean)

    def _mean(self, counts: Scores) -> float:
        hits, labels, found = counts.reshape(3, -1)
        size = labels + found - (2 - self._weight) * hits
        seen = size > 0
        return float((self._weight * hits[seen] / size[seen]).mean()) if seen.any() else 0.0


def _counts(classes: NDArray[np.int64], counted: NDArray[np.bool_], number: int) -> Scores:
    """Return how often each class stands in each row, (samples, number)."""
    rows = np.broadcast_to(np.arange(len(classes))[:, np.newaxis], classes.shape)
    places = (rows * number + classes)[counted]
    return np.bincount(places, minlength=len(classes) * number).reshape(-1, number).astype(np.float64)


METRICS.add("f1", ClassCounts("f1", "macro F1: mean over classes of the F1 of all samples", 2))
METRICS.add(
    "mean-iou", ClassCounts("mean-iou", "mean over classes of intersection over union, all samples", 1)
)
