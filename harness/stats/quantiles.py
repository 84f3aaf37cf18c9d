"""Percentiles: shown only where there are enough calls, and with an upper confidence bound.

Both rules count independent calls. Slow calls come together, in a stall or while the machine is slow, so
timed calls are worth fewer independent ones (`independent_calls`). Where no Blocks are given, calls are taken
as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.stats import checks
from harness.stats.checks import Array


@dataclass(frozen=True)
class Percentile:
    """The q-quantile of n calls; `value` and `upper` have the unit of the durations.

    `upper`: the true quantile lies at or below it with at least the wanted confidence; infinite where n is
    too small for any such bound. `allowed`: whether n is large enough for the percentile to be shown at all.
    """

    q: float
    value: float
    upper: float
    n: int
    allowed: bool


@lru_cache(maxsize=256)
def min_calls(q: float, confidence: float = 0.99) -> int:
    """Return the smallest number of calls for which the q-quantile may be shown.

    It is the smallest n with P(Bin(n, 1 - q) <= 1) = q^n + n (1 - q) q^(n-1) <= 1 - confidence: it must be
    improbable that at most one call lies above the true quantile. This is the entry condition of MLPerf
    LoadGen's early stopping (one over-latency query, tolerance 0; `early_stopping.cc` and `results.cc`): p90
    64, p95 130, p99 662, p99.9 6,636 at 99 %; p50 needs 11. A low quantile needs as many as its mirror image
    (p10 as p90). Raises HarnessError for q or confidence outside (0, 1).
    """
    checks.fraction(q, "a quantile")
    checks.fraction(confidence, "a confidence")
    q = max(q, 1 - q)
    low, high = 1, 2
    while not _tail_is_rare(high, q, confidence):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _tail_is_rare(middle, q, confidence) else (middle, high)
    return high


def _tail_is_rare(n: int, q: float, confidence: float) -> bool:
    """Whether at most one of n calls lies above the quantile with probability <= 1 - confidence."""
    return math.exp((n - 1) * math.log(q)) * (q + n * (1 - q)) <= 1 - confidence


@lru_cache(maxsize=4096)
def upper_rank(n: int, q: float, confidence: float = 0.99) -> int | None:
    """Return the rank k (from 1) of the order statistic that bounds the q-quantile from above, or None.

    It is the smallest k with P(Bin(n, q) <= k - 1) >= confidence (David & Nagaraja, Order Statistics, 2003,
    7.1): the k-th smallest value is below the quantile only if at least k values are. None where k would
    exceed n.
    """
    from scipy.special import bdtr, bdtrik

    below = max(math.ceil(bdtrik(confidence, n, q)), 0)
    if below > 0 and bdtr(below - 1, n, q) >= confidence:  # the inverse is exact to rounding only
        below -= 1
    return below + 1 if below < n else None


def percentile(values: checks.Values, q: float, confidence: float = 0.99) -> Percentile:
    """Return the q-quantile (0 < q < 1) of a 1-D array of durations, its bound, and whether it may be shown.

    `value` interpolates linearly between the neighboring order statistics (numpy's default, Hyndman & Fan 7).
    Raises HarnessError for no values, NaN or infinity, and for q or confidence outside (0, 1).
    """
    return percentiles(values, [q], confidence)[0]


def percentiles(values: checks.Values, qs: Sequence[float], confidence: float = 0.99) -> list[Percentile]:
    """Return several quantiles of the same values with one sort; see `percentile`."""
    ordered = np.sort(checks.numbers(values, "durations"))
    n = ordered.size
    found = []
    for q in qs:
        least = min_calls(q, confidence)
        rank = upper_rank(n, q, confidence)
        place = (n - 1) * q
        below = min(int(place), n - 1)
        above = min(below + 1, n - 1)
        value = float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
        upper = math.inf if rank is None else float(ordered[rank - 1])
        found.append(Percentile(q=q, value=value, upper=upper, n=n, allowed=n >= least))
    return found


def mixture(
    trials: Sequence[checks.Values],
    qs: Sequence[float],
    confidence: float = 0.99,
    *,
    blocks: Sequence[Sequence[int]] | None = None,
) -> list[Percentile]:
    """Return quantiles of the mixture of Trials, in which each Trial has the same weight.

    Blocks are filled by time, so a fast Trial has more calls, and pooled they would hide the slow Trials. A
    call weighs 1 / (calls of its Trial). `n` is Kish's effective number, (sum w)^2 / sum w^2, which is all
    calls where Trials have equally many; with `blocks`, the numbers of calls in the Blocks of each Trial, it
    is at most what these calls are worth (`independent_calls`). Values are interpolated as in `percentile`,
    on the sums of weights. Raises HarnessError as `percentile` does.
    """
    arrays = [checks.numbers(trial, "durations") for trial in trials]
    if blocks is None and len({array.size for array in arrays}) <= 1:
        return percentiles(np.concatenate(arrays) if arrays else [], qs, confidence)
    weights = np.concatenate([np.full(array.size, 1 / array.size) for array in arrays])
    values = np.concatenate(arrays)
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    places = np.cumsum(weights) - weights
    places /= places[-1] or 1.0  # one call alone
    weighted = math.floor(len(arrays) ** 2 / sum(1 / array.size for array in arrays) * (1 + 1e-12))
    found = []
    for q in qs:
        value = float(np.interp(q, places, values))
        n = weighted if blocks is None else min(weighted, independent_calls(arrays, blocks, q, value))
        rank = upper_rank(n, q, confidence)
        upper = math.inf if rank is None else float(np.interp((rank - 1) / max(n - 1, 1), places, values))
        found.append(Percentile(q=q, value=value, upper=upper, n=n, allowed=n >= min_calls(q, confidence)))
    return found


def independent_calls(
    trials: Sequence[Array], blocks: Sequence[Sequence[int]], q: float, value: float
) -> int:
    """Return how many independent calls would know the share of calls above `value`, the q-quantile, as well.

    It is q (1 - q) / v, where v is the variance of that share, from how it differs between Blocks, or between
    Trials if that gives more: calls of a Block may depend on each other in any way, and so may Blocks of a
    process (Kish's design effect; Korn & Graubard 1998, Survey Methodology 24:193, use the same number for
    intervals of a share). Each Trial has the same weight. `blocks`: how many calls each Block of each Trial
    has, in order. Returns all calls where there is one Block only, which shows nothing. Stalls so rare that
    no Block has one, and modes that no Trial fell into, cannot be seen.
    """
    share = np.mean([np.mean(calls > value) for calls in trials])
    tied = np.mean([np.mean(calls == value) for calls in trials])
    part = (1 - q - share) / tied if tied > 0 else 0.0  # of the calls that equal `value`
    parts = []
    for calls, sizes in zip(trials, blocks, strict=True):
        starts = np.cumsum([0, *sizes[:-1]])
        over = np.add.reduceat((calls > value) + part * (calls == value), starts)
        parts.append((over - (1 - q) * np.asarray(sizes)) / (calls.size * len(trials)))
    levels = [np.concatenate(parts), np.array([part.sum() for part in parts])]
    total = sum(calls.size for calls in trials)
    variance = max(map(_sum_variance, levels))
    return total if variance * total <= q * (1 - q) else max(round(q * (1 - q) / variance), 1)


def _sum_variance(deviations: Array) -> float:
    """Return the variance of the sum of independent values whose mean is 0; 0 for one value alone."""
    n = deviations.size
    return float((deviations**2).sum()) * n / (n - 1) if n > 1 else 0.0
