"""The 20 % trimmed mean of one Trial's Blocks, with the variance of that mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.stats.checks import Array

TRIM = 0.2
"""Fraction cut off each end: the usual choice (Wilcox, Introduction to Robust Estimation, 2012)."""


@dataclass(frozen=True)
class Location:
    """A trimmed mean, the variance of it (infinite where n cannot tell), its degrees of freedom, and n."""

    value: float
    variance: float
    df: float
    n: int

    def __sub__(self, other: Location) -> Location:
        """The difference of two independent locations, with Welch's degrees of freedom (Yuen 1974)."""
        variance = self.variance + other.variance
        if math.isinf(variance):
            df = 0.0
        else:
            weights = self.variance**2 / self.df + other.variance**2 / other.df
            df = variance**2 / weights if weights > 0 else min(self.df, other.df)
        return Location(self.value - other.value, variance, df, min(self.n, other.n))


def located(values: Array) -> Location:
    """Return the trimmed mean of a 1-D array and its variance, from the winsorised squares.

    With h values left after cutting: sum of winsorised squares / (h (h - 1)), with h - 1 degrees of freedom
    (Tukey & McLaughlin 1963).
    Below 5 values nothing is cut and this is the mean.
    """
    n = values.size
    cut = int(TRIM * n)
    ordered = np.sort(values)
    kept = ordered[cut : n - cut]
    h = kept.size
    value = float(kept.sum()) / h
    if h < 2:
        return Location(value, math.inf, 0.0, n)
    inner = kept - value
    # The winsorised sample: each cut value counts as the nearest one kept.
    total = float(inner.sum()) + cut * float(inner[0] + inner[-1])
    squares = float(inner @ inner) + cut * float(inner[0] ** 2 + inner[-1] ** 2) - total**2 / n
    return Location(value, max(squares, 0.0) / (h * (h - 1)), float(h - 1), n)
