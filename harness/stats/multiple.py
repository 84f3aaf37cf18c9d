"""Many comparisons in one Run: p-values and their correction.

Holm where one false alarm is costly, as in a gate that stops a merge: it bounds the chance of *any* false
alarm in the family. Benjamini-Hochberg where a list is browsed, as in a leaderboard of hundreds of Cells: it
bounds the expected *share* of false alarms among what is called different, and finds more. The family is all
candidates of a Run that are compared with their Group's baseline; the control arms are not in it.
"""

from __future__ import annotations

import math

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Array
from harness.stats.ratio import Ratio


def p_value(ratio: Ratio) -> float:
    """Return the two-sided p-value of "no difference" that belongs to the Ratio's interval.

    Student's t on the log-ratio: p < 1 - confidence exactly where the interval excludes 1. 1 where nothing is
    known.
    """
    from scipy.special import stdtr

    if ratio.df <= 0 or not math.isfinite(ratio.log_se):
        return 1.0
    effect = abs(math.log(ratio.estimate))
    if ratio.log_se == 0:
        return 0.0 if effect > 0 else 1.0
    return min(1.0, 2 * float(stdtr(ratio.df, -effect / ratio.log_se)))


def holm(p_values: checks.Values) -> Array:
    """Return Holm's step-down adjusted p-values, in the order given (Holm 1979). Valid under any dependence.

    Raises HarnessError for no values, NaN, or values outside [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))), 1.0)
    return adjusted


def benjamini_hochberg(p_values: checks.Values) -> Array:
    """Return Benjamini-Hochberg adjusted p-values, in the order given (Benjamini & Hochberg 1995).

    Valid for independent or positively dependent tests, such as ratios that share one baseline (Benjamini &
    Yekutieli 2001). Raises HarnessError for no values, NaN, or values outside [0, 1].
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(_checked(p_values), method="bh"), dtype=np.float64)


def _checked(p_values: checks.Values) -> Array:
    p = checks.numbers(p_values, "p-values")
    if p.min() < 0 or p.max() > 1:
        raise HarnessError(f"p-values must lie between 0 and 1, got {p.min():g} to {p.max():g}.")
    return p
