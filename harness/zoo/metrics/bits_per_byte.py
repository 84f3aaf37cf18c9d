"""Cross entropy of predictions of each next token: bits per byte, and perplexity."""

from __future__ import annotations

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.stats.jackknife import sample_values_of_sums
from harness.zoo.metrics.fidelity import Scored, Scores, has_class, logits_and_labels
from harness.zoo.registry import METRICS


class BitsPerByte(Scored):
    """Mean of -log2 of the predicted probability of each next byte of a sample; NaN scores infinity.

    The cross entropy of Shannon, "A Mathematical Theory of Communication", 1948; a uniform prediction scores
    8.
    """

    name = "bits-per-byte"
    budget = 0.02
    summary = "mean bits for each next byte of a sample; less is better"
    unit = "bits"
    higher_is_better = False
    needs_reference = False
    classes = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Score logits `outputs[0]` (samples, positions, values) against next bytes (samples, positions).

        Raises DataError when the shapes do not fit, or a label is no integer in [0, values).
        """
        shape = outputs[0].shape if outputs else ()
        if len(shape) != 3:
            raise DataError(f"bits-per-byte takes logits (samples, positions, values), not {shape}")
        nats, counts = _cross_entropy(self.name, outputs, truth)
        bits = nats / counts / np.log(2)
        return np.asarray(np.where(np.isnan(bits), np.inf, bits), dtype=np.float64)


class Perplexity(Scored):
    """e to the mean cross entropy (nats) of all labelled tokens; NaN makes it infinite."""

    name = "perplexity"
    summary = "e to the mean cross entropy of all labelled tokens; less is better"
    unit = ""
    higher_is_better = False
    needs_reference = False
    classes = True

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Return each sample's summed nats and its number of labelled tokens, (samples, 2).

        `outputs[0]` are logits (samples, …, tokens), `truth` labels (samples, …). Raises DataError when they
        do not fit.
        """
        return np.column_stack(_cross_entropy(self.name, outputs, truth))

    def whole(self, rows: Scores) -> Scores:
        """Return a value for each sample, whose mean is the metric of all (stats/jackknife.py)."""
        if not np.isfinite(rows).all():
            return np.full(len(rows), np.inf)
        return sample_values_of_sums(rows, lambda total: float(np.exp(total[0] / max(total[1], 1.0))))


def _cross_entropy(name: str, outputs: tuple[Array, ...], truth: Array) -> tuple[Scores, Scores]:
    """Return each sample's summed cross entropy in nats, and how many of its labels name a token."""
    logits, labels = logits_and_labels(name, outputs, truth)
    counted = has_class(labels, logits.shape[-1])
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=-1, keepdims=True)  # so that the exponential does not overflow
    place = np.where(counted, labels, 0)[..., np.newaxis].astype(np.int64)
    nats = np.log(np.exp(scores).sum(axis=-1)) - np.take_along_axis(scores, place, -1)[..., 0]
    size = (len(labels), -1)
    summed = np.where(counted, nats, 0.0).reshape(size).sum(axis=1)
    return np.asarray(summed, dtype=np.float64), counted.reshape(size).sum(axis=1).astype(np.float64)


METRICS.add("bits-per-byte", BitsPerByte())
METRICS.add("perplexity", Perplexity())
