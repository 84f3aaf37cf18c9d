"""Top-k accuracy: whether the label is among the k largest logits."""

from __future__ import annotations

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import (
    Scored,
    Scores,
    has_class,
    logits_and_labels,
    mean_over_positions,
    predicted,
)
from harness.zoo.registry import METRICS


class TopK(Scored):
    """1.0 for a sample whose label is among the `k` largest logits, else 0.0; logits with NaN score 0.0.

    A sample with several positions (tokens, pixels) scores the share of those that are right; positions
    without a class (negative labels, 255) do not count.
    """

    unit = "pt"
    higher_is_better = True
    needs_reference = False
    classes = True

    def __init__(self, k: int) -> None:
        self.k, self.name = k, f"top-{k}"
        among = "at their label" if k == 1 else f"among the {k} largest"
        self.summary = "share of samples whose largest logit is at their label"
        if k > 1:
            self.summary = f"share of samples whose label's logit is {among}"

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Score logits `outputs[0]` (samples, …, classes) against integer labels (samples, …).

        Integer outputs of the labels' shape are classes themselves. Of equal logits, the first counts. Raises
        DataError when the shapes do not fit, a label is no integer in [0, classes), or there are no more than
        `k` classes.
        """
        if self.k == 1 and outputs and outputs[0].dtype.kind in "iu" and outputs[0].shape == truth.shape:
            return mean_over_positions(outputs[0] == truth, has_class(truth, 0))
        logits, labels = logits_and_labels(self.name, outputs, truth)
        if self.k > 1 and logits.shape[-1] <= self.k:
            raise DataError(f"{self.name} takes more than {self.k} classes, not {logits.shape[-1]}")
        counted = has_class(labels, logits.shape[-1])
        if self.k == 1:
            return mean_over_positions(predicted(logits) == labels, counted)
        place = np.where(counted, labels, 0)[..., np.newaxis].astype(np.int64)
        values: Scores = logits.astype(np.float64)
        own = np.take_along_axis(values, place, -1)
        earlier = np.arange(logits.shape[-1]) < place
        above = ((values > own) | ((values == own) & earlier)).sum(axis=-1)
        return mean_over_positions((above < self.k) & (predicted(logits) >= 0), counted)


METRICS.add("top-1", TopK(1))
METRICS.add("top-5", TopK(5))
