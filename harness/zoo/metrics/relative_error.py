"""Relative error: the length of the difference over the length of the reference."""

from __future__ import annotations

import numpy as np

from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import Scored, Scores, flat_pair
from harness.zoo.registry import METRICS


class RelativeError(Scored):
    """For each sample |outputs - reference| / |reference|, with Euclidean lengths; NaN scores infinity.

    A reference of zeros scores 0 if the outputs are zeros too, else infinity.
    """

    name = "relative-error"
    budget = 0.05
    summary = "Euclidean length of the difference from the reference's outputs, over theirs"
    unit = ""
    higher_is_better = False
    needs_reference = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Score `outputs[0]` against the reference, both (samples, …), else raise DataError."""
        found, reference = flat_pair(self.name, outputs, truth)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            peak = np.abs(reference).max(axis=1, keepdims=True)
            scale = np.where(peak > 0, peak, 1.0)  # so that squares neither overflow nor underflow
            error = np.where(found == reference, 0.0, (found - reference) / scale)
            ratio = np.linalg.norm(error, axis=1) / np.linalg.norm(reference / scale, axis=1)
        ratio = np.where((error == 0).all(axis=1), 0.0, ratio)
        return np.asarray(np.where(np.isnan(ratio), np.inf, ratio), dtype=np.float64)


METRICS.add("relative-error", RelativeError())
