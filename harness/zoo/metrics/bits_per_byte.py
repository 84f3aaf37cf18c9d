"""Bits per byte: the cross entropy of the model's predictions of each next byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import check_labels
from harness.zoo.registry import METRICS


class BitsPerByte:
    """Mean of -log2 of the predicted probability of each next byte of a sample; NaN scores infinity.

    The cross entropy of Shannon, "A Mathematical Theory of Communication", 1948; a uniform prediction scores
    8.
    """

    name = "bits-per-byte"
    summary = "mean bits for each next byte of a sample; less is better"
    unit = "bits"
    higher_is_better = False
    needs_reference = False

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Score logits `outputs[0]` (samples, positions, values) against next bytes (samples, positions).

        Raises DataError when the shapes do not fit, or a label is no integer in [0, values).
        """
        logits = outputs[0] if outputs else np.empty(0)
        if logits.ndim != 3 or truth.shape != logits.shape[:2] or logits.size == 0:
            raise DataError(
                "bits-per-byte takes logits (samples, positions, values) and labels (samples, positions), "
                f"not {logits.shape} and {truth.shape}"
            )
        check_labels(self.name, truth, logits.shape[2])
        scores = logits.astype(np.float64)
        scores -= scores.max(axis=2, keepdims=True)  # so that the exponential does not overflow
        nats = (
            np.log(np.exp(scores).sum(axis=2))
            - np.take_along_axis(scores, truth[:, :, np.newaxis].astype(np.int64), 2)[..., 0]
        )
        bits = nats.mean(axis=1) / np.log(2)
        return np.asarray(np.where(np.isnan(bits), np.inf, bits), dtype=np.float64)


METRICS.add("bits-per-byte", BitsPerByte())
