"""Top-1 agreement: whether the model predicts the class that the reference model predicts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import flat_pair
from harness.zoo.registry import METRICS


class Agreement:
    """1.0 for a sample whose largest output has the same index as the reference's, else 0.0; NaN scores 0.0.

    A sample with several positions (tokens, pixels) scores the share of positions that agree.
    """

    name = "agreement"
    summary = "share of samples whose largest output has the same index as the reference's"
    unit = "pt"
    higher_is_better = True
    needs_reference = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Score `outputs[0]` against the reference, both (samples, …, classes).

        Raises DataError for other or unequal shapes.
        """
        flat_pair(self.name, outputs, truth)
        found = outputs[0]
        if found.ndim < 2:
            raise DataError(f"agreement takes outputs (samples, …, classes), not {found.shape}")
        same = found.argmax(axis=-1) == truth.argmax(axis=-1)
        same &= ~(np.isnan(found).any(axis=-1) | np.isnan(truth).any(axis=-1))
        return np.asarray(same.reshape(len(found), -1).mean(axis=1), dtype=np.float64)


METRICS.add("agreement", Agreement())
