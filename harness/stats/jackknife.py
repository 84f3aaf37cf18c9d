"""The jackknife: what each sample adds to a statistic that is no mean of samples, such as F1 or R².

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 11; groups of samples instead of
single ones after Quenouille 1956, Biometrika 43:353.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_GROUPS = 200
"""Above this number of samples, groups of them are left out instead of single ones."""


def sample_values(n: int, statistic: Callable[[NDArray[np.intp]], float]) -> Floats:
    """Return a value for each of `n` samples: their mean is the statistic, their standard error its own.

    `statistic` computes the statistic of the samples at the given indices. The values of two models on the
    same samples can be subtracted, as the scores of a metric that is a mean. With groups, all samples of one
    have the same value, scaled so that the standard error over samples is that over groups. It holds for
    smooth statistics (F1, mean IoU, R², RMSE, rank correlation), not for a median or a maximum.
    """
    groups = _groups(n)
    whole = statistic(np.arange(n))
    if n == 1:
        return np.array([whole])
    without = [statistic(np.flatnonzero(groups != group)) for group in range(int(groups.max()) + 1)]
    return _spread(whole, np.asarray(without), groups)


def sample_values_of_sums(rows: Floats, statistic: Callable[[Floats], float]) -> Floats:
    """Do the same for a statistic of sums: `rows` (samples, values) are added up before it is computed."""
    n = len(rows)
    groups = _groups(n)
    total = rows.sum(axis=0)
    whole = statistic(total)
    if n == 1:
        return np.array([whole])
    sums = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return _spread(whole, np.array([statistic(total - part) for part in sums]), groups)


def _groups(n: int) -> NDArray[np.intp]:
    """Return each sample's group: the same for all models with so many samples, whatever the data's order."""
    if n <= MAX_GROUPS:
        return np.arange(n)
    shuffled: NDArray[np.intp] = np.random.default_rng(0).permutation(n) % MAX_GROUPS
    return shuffled


def _spread(whole: float, without: Floats, groups: NDArray[np.intp]) -> Floats:
    """Return values of samples with the mean `whole`; `without[g]` is the statistic without group g."""
    n, count = len(groups), len(without)
    if not (math.isfinite(whole) and np.isfinite(without).all()):
        return np.full(n, whole if not math.isfinite(whole) else math.nan)
    # n values that repeat `count` different ones would have a standard error too small by sqrt(n / count).
    scale = (count - 1) * math.sqrt((n - 1) / (count - 1)) if count < n else float(n - 1)
    values = scale * (without.mean() - without)[groups]
    return np.asarray(whole + values - values.mean(), dtype=np.float64)
