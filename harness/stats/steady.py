"""Find out whether warm-up is over, from the medians of its Blocks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from harness.stats import checks

WINDOW = 8
TOLERANCE = 0.01
ALPHA = 0.05
OUTLIER = 3 * 1.4826
"""Three standard deviations of normal noise, in median absolute deviations."""


def is_steady(medians: checks.Values) -> bool:
    """Return whether the last WINDOW Blocks are steady; False while there are fewer.

    `medians`: 1-D, one positive number a Block (its median seconds per call). The window is steady if
    1. its first Block is no outlier: within TOLERANCE of the window's median, or within 3 standard
       deviations (from the median absolute deviation of the other Blocks); and
    2. it has no trend: the Theil-Sen slope changes it by at most TOLERANCE from end to end, or the exact
       Mann-Kendall test does not find a trend at the 5 % level.
    Without a trend, 19 of 20 windows pass test 2, so noisy Cells become steady too, a few Blocks later.
    Raises HarnessError for no Blocks, NaN and non-positive medians.
    """
    window = checks.numbers(medians, "Block medians", positive=True)[-WINDOW:]
    if window.size < WINDOW:
        return False
    middle = float(np.median(window))
    rest = window[1:]
    noise = float(np.median(np.abs(rest - np.median(rest))))
    if abs(window[0] - middle) > max(TOLERANCE * middle, OUTLIER * noise):
        return False
    early, late = np.triu_indices(window.size, k=1)
    rises = window[late] - window[early]
    slope = float(np.median(rises / (late - early)))
    if abs(slope) * (window.size - 1) <= TOLERANCE * middle:
        return True
    return abs(int(np.sign(rises).sum())) < critical_score(window.size)


@lru_cache(maxsize=64)
def critical_score(n: int, alpha: float = ALPHA) -> int:
    """Return the smallest |S| of the Mann-Kendall test whose probability without a trend is at most `alpha`.

    S is the number of rising minus the number of falling pairs. Exact: counts how many of the n! orders have
    k falling pairs, adding one value at a time (Kendall, Rank Correlation Methods, 1970). Own code, because
    measuring workers call it and scipy.stats would add to their memory.
    """
    counts = np.ones(1)
    for size in range(2, n + 1):
        counts = np.convolve(counts, np.ones(size)) / size
    pairs = n * (n - 1) // 2
    scores = np.abs(pairs - 2 * np.arange(pairs + 1))
    for score in range(pairs % 2, pairs + 1, 2):
        if counts[scores >= score].sum() <= alpha:
            return score
    return pairs + 2
