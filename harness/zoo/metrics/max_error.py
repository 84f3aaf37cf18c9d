"""Largest absolute error against the reference's outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import Scored, flat_pair
from harness.zoo.registry import METRICS


class MaxError(Scored):
    """The largest absolute difference in each sample, in the outputs' own unit; NaN scores infinity."""

    name = "max-error"
    summary = "largest absolute difference between each sample's outputs and the reference's"
    unit = ""
    higher_is_better = False
    needs_reference = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Score `outputs[0]` against the reference, both (samples, …), else raise DataError."""
        found, reference = flat_pair(self.name, outputs, truth)
        with np.errstate(invalid="ignore"):  # infinity minus infinity: equal, so no error
            difference = np.where(found == reference, 0.0, np.abs(found - reference))
        worst = difference.max(axis=1)
        return np.asarray(np.where(np.isnan(worst), np.inf, worst), dtype=np.float64)


METRICS.add("max-error", MaxError())
