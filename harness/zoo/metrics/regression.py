"""Errors against numbers: RMSE, MAE, R² and rank correlation, with float labels of the outputs' shape."""

from __future__ import annotations

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.stats.jackknife import sample_values, sample_values_of_sums
from harness.zoo.metrics.fidelity import Scored, Scores, flat_pair
from harness.zoo.registry import METRICS

MAX_VALUES = 64
"""R² and rank correlation keep all outputs of a sample, so they take at most this many values."""


class Mae(Scored):
    """The mean absolute error of each sample, in the labels' own unit; NaN scores infinity."""

    name = "mae"
    summary = "mean absolute error against the labels"
    unit = ""
    higher_is_better = False
    needs_reference = False

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Score `outputs[0]` against labels of its shape, else raise DataError."""
        found, labels = flat_pair(self.name, outputs, truth, labels=True)
        return _no_nan(np.abs(found - labels).mean(axis=1))


class Rmse(Scored):
    """The root of the mean squared error of all samples, in the labels' own unit; NaN makes it infinite."""

    name = "rmse"
    summary = "root mean squared error against the labels, all samples"
    unit = ""
    higher_is_better = False
    needs_reference = False

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Return each sample's mean squared error and 1, (samples, 2); else raise DataError."""
        found, labels = flat_pair(self.name, outputs, truth, labels=True)
        squares = _no_nan(((found - labels) ** 2).mean(axis=1))
        return np.column_stack([squares, np.ones(len(squares))])

    def whole(self, rows: Scores) -> Scores:
        """Return a value for each sample, whose mean is the metric of all (stats/jackknife.py)."""
        if not np.isfinite(rows).all():
            return np.full(len(rows), np.inf)
        return sample_values_of_sums(rows, lambda total: float(np.sqrt(max(total[0] / total[1], 0.0))))


class Pairs(Scored):
    """A statistic of all pairs of prediction and label; of several outputs, the mean over outputs."""

    unit = ""
    higher_is_better = True
    needs_reference = False
    name = summary = ""

    def score(self, outputs: tuple[Array, ...], truth: Array) -> Scores:
        """Return each sample's predictions and labels, (samples, 2·values); else raise DataError."""
        found, labels = flat_pair(self.name, outputs, truth, labels=True)
        if found.shape[1] > MAX_VALUES:
            raise DataError(f"{self.name} takes at most {MAX_VALUES} values a sample, not {found.shape[1]}")
        return np.hstack([found, labels])

    def whole(self, rows: Scores) -> Scores:
        """Return a value for each sample, whose mean is the metric of all (stats/jackknife.py)."""
        found, labels = np.hsplit(rows, 2)
        if not np.isfinite(rows).all():
            return np.full(len(rows), np.nan)

        def mean(chosen: Array) -> float:
            columns = zip(found[chosen].T, labels[chosen].T, strict=True)
            return float(np.mean([self.statistic(*pair) for pair in columns]))

        return sample_values(len(rows), mean)

    def misfit(self, outputs: tuple[Array, ...], truth: Array) -> str | None:
        """Return why it does not fit, also where a label is the same for all samples."""
        if why := super().misfit(outputs, truth):
            return why
        constant = len(truth) > 1 and (truth == truth[:1]).reshape(len(truth), -1).all(axis=0).any()
        return f"{self.name} needs labels that differ between samples" if constant else None

    def statistic(self, found: Scores, labels: Scores) -> float:
        """Return the statistic of one output, from predictions and labels (samples,)."""
        raise NotImplementedError


class R2(Pairs):
    """The coefficient of determination: 1 is exact, 0 is as good as the mean of the labels."""

    name = "r2"
    budget = 0.01
    summary = "coefficient of determination R² against the labels, all samples"

    def statistic(self, found: Scores, labels: Scores) -> float:
        """Return 1 - residual sum of squares / total sum of squares."""
        total = float(((labels - labels.mean()) ** 2).sum())
        return 1 - float(((found - labels) ** 2).sum()) / total if total > 0 else float("nan")


class RankCorrelation(Pairs):
    """Spearman's rank correlation, with mean ranks for ties; equal predictions everywhere score 0."""

    name = "rank-correlation"
    budget = 0.01
    summary = "Spearman's rank correlation with the labels, all samples"

    def statistic(self, found: Scores, labels: Scores) -> float:
        """Return Pearson's correlation of the ranks."""
        from scipy.stats import rankdata

        a, b = rankdata(found), rankdata(labels)
        a, b = a - a.mean(), b - b.mean()
        size = float(np.sqrt((a * a).sum() * (b * b).sum()))
        return float((a * b).sum()) / size if size > 0 else 0.0


def _no_nan(errors: Scores) -> Scores:
    return np.asarray(np.where(np.isnan(errors), np.inf, errors), dtype=np.float64)


for made in (Mae(), Rmse(), R2(), RankCorrelation()):
    METRICS.add(made.name, made)
