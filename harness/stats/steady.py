"""Find out whether warm-up is over, from the medians of the Blocks so far; after a cap it is not steady."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Array

WINDOW = 8
TOLERANCE = 0.01
CAP = 50
ALPHA = 0.05
OUTLIER = 3 * 1.4826
"""Three standard deviations of normal noise, in median absolute deviations."""


@dataclass(frozen=True)
class Steady:
    """Whether a steady state was found, the index (from 0) of its first Block, and whether the cap was hit.

    Blocks before `start` are warm-up. Where none was found, `start` is the first Block of the last window.
    """

    steady: bool
    start: int
    blocks: int
    capped: bool

    @property
    def done(self) -> bool:
        """Whether warm-up ends here, steady or not."""
        return self.steady or self.capped


def find_steady(
    medians: checks.Values, *, window: int = WINDOW, tolerance: float = TOLERANCE, cap: int = CAP
) -> Steady:
    """Return the first Block from which `window` Blocks in a row are steady, among the first `cap` Blocks.

    `medians`: 1-D, one positive number a Block (its median seconds per call). A window is steady if
    1. its first Block is no outlier: within `tolerance` of the window's median, or within 3 standard
       deviations (from the median absolute deviation of the other Blocks); and
    2. it has no trend: the Theil-Sen slope changes it by at most `tolerance` from end to end, or the exact
       Mann-Kendall test does not find a trend at the 5 % level.
    Without a trend, 19 of 20 windows pass test 2, so noisy Cells become steady too, a few Blocks later. Call
    it after each Block of warm-up until `done`. Raises HarnessError for no Blocks, NaN, non-positive medians,
    a window below 4, a cap below the window, or a tolerance that is not positive.
    """
    values = checks.numbers(medians, "Block medians", positive=True)
    checks.above_zero(tolerance, "tolerance")
    if window < 4 or cap < window:
        raise HarnessError(
            f"warm-up needs a window of at least 4 Blocks and a cap of at least it, got {window} and {cap}."
        )
    seen = min(values.size, cap)
    for start in range(seen - window + 1):
        if _is_steady(values[start : start + window], tolerance):
            return Steady(steady=True, start=start, blocks=values.size, capped=values.size >= cap)
    return Steady(steady=False, start=max(0, seen - window), blocks=values.size, capped=values.size >= cap)


def _is_steady(window: Array, tolerance: float) -> bool:
    middle = float(np.median(window))
    rest = window[1:]
    noise = float(np.median(np.abs(rest - np.median(rest))))
    if abs(window[0] - middle) > max(tolerance * middle, OUTLIER * noise):
        return False
    early, late = np.triu_indices(window.size, k=1)
    rises = window[late] - window[early]
    slope = float(np.median(rises / (late - early)))
    if abs(slope) * (window.size - 1) <= tolerance * middle:
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
