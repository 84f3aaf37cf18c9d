"""Top-1 accuracy: whether the largest logit is at the label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import check_labels
from harness.zoo.registry import METRICS


class Top1:
    """1.0 for a sample whose largest logit is at its label, else 0.0; logits with NaN score 0.0."""

    name = "top-1"
    summary = "share of samples whose largest logit is at their label"
    unit = "pt"
    higher_is_better = True
    needs_reference = False

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Score logits `outputs[0]` (samples, classes) against integer labels (samples,).

        Of equal logits, the first counts. Raises DataError when the shapes do not fit, or a label is no
        integer in [0, classes).
        """
        logits = outputs[0] if outputs else np.empty(0)
        if logits.ndim != 2 or truth.shape != logits.shape[:1] or logits.shape[1] == 0:
            raise DataError(
                "top-1 takes logits (samples, classes) and labels (samples,), "
                f"not {logits.shape} and {truth.shape}"
            )
        check_labels(self.name, truth, logits.shape[1])
        right = (logits.argmax(axis=1) == truth) & ~np.isnan(logits).any(axis=1)
        return np.asarray(right, dtype=np.float64)


METRICS.add("top-1", Top1())
