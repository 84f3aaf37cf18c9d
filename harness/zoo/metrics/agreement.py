"""Top-1 agreement: whether the model predicts the class that the reference model predicts."""

from __future__ import annotations

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import Scored, Scores, flat_pair, mean_over_positions, predicted
from harness.zoo.registry import METRICS


class Agreement(Scored):
    """1.0 for a sample whose predicted class is the reference's, else 0.0; NaN scores 0.0.

    The class is that of the largest value along the class axis; outputs that are integers are classes
    themselves. A sample with several positions (tokens, pixels) scores the share of positions that agree.
    """

    name = "agreement"
    summary = (
        "share of samples (of positions, where there are several) whose predicted class is the reference's"
    )
    unit = "pt"
    higher_is_better = True
    needs_reference = True
    classes = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Score `outputs[0]` against the reference, both (samples, …, classes), or (samples, …) of integers.

        Raises DataError for other or unequal shapes.
        """
        flat_pair(self.name, outputs, truth)
        found = outputs[0]
        if found.dtype.kind in "iub":
            same = found == truth
            return mean_over_positions(same, np.ones_like(same))
        if found.ndim < 2 or found.shape[-1] < 2:
            raise DataError(
                f"agreement takes outputs (samples, …, classes) of 2 classes or more, not {found.shape}"
            )
        best = predicted(found)
        same = (best == predicted(truth)) & (best >= 0)
        return mean_over_positions(same, np.ones_like(same))

    def misfit(self, outputs: tuple[Array, ...], truth: Array) -> str | None:
        """Return why it does not fit, also where the reference predicts one class only: it could not fail."""
        if why := super().misfit(outputs, truth):
            return why
        classes = truth if truth.dtype.kind in "iub" else predicted(truth)
        if classes.size > 1 and (classes == classes.flat[0]).all():
            return f"the model predicts class {classes.flat[0]} for all samples, so agreement could not fail"
        return None


METRICS.add("agreement", Agreement())
