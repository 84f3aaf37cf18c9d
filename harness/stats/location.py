"""The median of one Trial's Blocks, with the variance of that median."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from harness.stats.checks import Array


@dataclass(frozen=True)
class Location:
    """A median, its variance (infinite for n = 1), its degrees of freedom, and the number of values n."""

    value: float
    variance: float
    df: float
    n: int

    def __sub__(self, other: Location) -> Location:
        """The difference of two independent locations, with Welch's degrees of freedom."""
        variance = self.variance + other.variance
        if math.isinf(variance):
            df = 0.0
        else:
            weights = self.variance**2 / self.df + other.variance**2 / other.df
            df = variance**2 / weights if weights > 0 else min(self.df, other.df)
        return Location(self.value - other.value, variance, df, min(self.n, other.n))


def located(values: Array) -> Location:
    """Return the median of a 1-D array and its variance, with n - 1 degrees of freedom.

    On a shared machine some Blocks take much longer (1.7 times was seen), so log-ratios of two Blocks scatter
    to both sides. While fewer than half of the Blocks are disturbed, the median hardly moves; a 20 % trimmed
    mean of 10 to 20 Blocks moves when one in six is.

    The variance is that of the medians of all bootstrap resamples, in closed form (Maritz & Jarrett 1978,
    JASA 73:194; exact for odd n). It is too large by a factor of 1.2 to 1.4 under normal noise.
    """
    n = values.size
    value = float(np.median(values))
    if n < 2:
        return Location(value, math.inf, 0.0, n)
    ordered = np.sort(values) - value
    weights = _weights(n)
    mean = float(weights @ ordered)
    return Location(value, max(float(weights @ ordered**2) - mean**2, 0.0), float(n - 1), n)


@functools.cache
def _weights(n: int) -> Array:
    """Return the probability that each of n ordered values is a resample's median: Beta((n+1)/2, (n+1)/2)."""
    from scipy.special import betainc

    middle = (n + 1) / 2
    weights: Array = np.diff(betainc(middle, middle, np.arange(n + 1) / n))
    return weights
