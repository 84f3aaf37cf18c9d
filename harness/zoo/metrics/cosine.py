"""Cosine similarity between outputs and the reference's: the same direction at any scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensors import Array
from harness.zoo.metrics.fidelity import Scored, flat_pair
from harness.zoo.registry import METRICS


class Cosine(Scored):
    """From -1 to 1 for each sample; 1 is the reference's direction.

    Two zero vectors score 1.0; a single zero vector, or NaN or infinity on either side, scores 0.0.
    """

    name = "cosine"
    budget = 0.01
    summary = "cosine between each sample's flattened outputs and the reference's"
    unit = ""
    higher_is_better = True
    needs_reference = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Score `outputs[0]` against the reference, both (samples, …), else raise DataError."""
        found, reference = flat_pair(self.name, outputs, truth)
        finite = np.asarray((np.isfinite(found) & np.isfinite(reference)).all(axis=1))
        found, reference = _unit(found, finite), _unit(reference, finite)
        similarity = np.clip(np.einsum("ij,ij->i", found, reference), -1.0, 1.0)
        both_zero = ~(found.any(axis=1) | reference.any(axis=1)) & finite
        return np.asarray(np.where(both_zero, 1.0, similarity), dtype=np.float64)


def _unit(rows: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scale each row (samples, values) to length one; rows that are not `finite` become zeros.

    Rows are first divided by their largest value, so that squares neither overflow nor underflow.
    """
    safe = np.where(finite[:, np.newaxis], rows, 0.0)
    peak = np.abs(safe).max(axis=1, keepdims=True)
    safe = np.divide(safe, peak, out=np.zeros_like(safe), where=peak > 0)
    length = np.sqrt(np.einsum("ij,ij->i", safe, safe))[:, np.newaxis]
    unit: NDArray[np.float64] = np.divide(safe, length, out=np.zeros_like(safe), where=length > 0)
    return unit


METRICS.add("cosine", Cosine())
