"""Quality compared item by item: the same items answered by baseline and candidate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Array

EXACT_BELOW = 25
"""Discordant items below which McNemar's test is the exact conditional one."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline, in the unit of the scores (0.01 of a 0/1 score is one percentage point).

    `n` items, of which `discordant` got different scores. The p-value is for "no difference", two-sided.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int
    discordant: int


def mcnemar(baseline_correct: checks.Values, candidate_correct: checks.Values) -> float:
    """Return the two-sided p-value of McNemar's test on two 1-D arrays of 0/1 (or bool), one entry an item.

    Only the discordant items count; under "no difference" either arm is equally often the one that is right.
    Below 25 of them: the exact binomial test. From 25: its mid-p version, which is nearly free of the exact
    test's conservatism (Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91). 1 where none is
    discordant. Raises HarnessError for empty arrays, different lengths, or entries other than 0 and 1.
    """
    first, second = _pair(baseline_correct, candidate_correct)
    if not (_is_binary(first) and _is_binary(second)):
        raise HarnessError("McNemar's test needs right or wrong (1 or 0) for each item, got other scores.")
    return _mcnemar(int(np.sum(first > second)), int(np.sum(second > first)))


def paired_difference(
    baseline_scores: checks.Values,
    candidate_scores: checks.Values,
    confidence: float = 0.95,
    *,
    shares: bool = True,
) -> Difference:
    """Return the mean difference of two 1-D arrays of scores of the same items, with interval and p-value.

    0/1 scores in both, where `shares` says that scores are right or wrong by nature (a cosine may be exactly
    1 on all items): Tango's score interval for paired proportions (Tango 1998, Stat. Med. 17:891), which
    stays wide enough when few or no items differ, and the p-value of `mcnemar`; the two may disagree at the
    very border. Other scores: Student's t on the differences, which wants a few dozen items when
    differences are skewed; one item alone has an unbounded interval. Raises HarnessError for empty arrays,
    different lengths, NaN, bad confidence.
    """
    checks.fraction(confidence, "a confidence")
    first, second = _pair(baseline_scores, candidate_scores)
    n, discordant = first.size, int(np.sum(first != second))
    if shares and _is_binary(first) and _is_binary(second):
        losses, gains = int(np.sum(first > second)), int(np.sum(second > first))
        low, high = tango(gains, losses, n, confidence)
        return Difference((gains - losses) / n, low, high, _mcnemar(losses, gains), n, discordant)
    return _t_difference(second - first, confidence, discordant)


def proportion(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (Wilson 1927) for a proportion of `successes` in `n`.

    Raises HarnessError for n < 1, successes outside 0..n, or a bad confidence.
    """
    from scipy.special import ndtri

    if n < 1 or not 0 <= successes <= n:
        raise HarnessError(f"a proportion needs 0 <= successes <= n and n >= 1, got {successes} of {n}.")
    z = float(ndtri(0.5 + checks.fraction(confidence, "a confidence") / 2))
    share, pull = successes / n, z * z / n
    center = (share + pull / 2) / (1 + pull)
    half = z * math.sqrt(share * (1 - share) / n + pull / (4 * n)) / (1 + pull)
    return (0.0 if successes == 0 else center - half), (1.0 if successes == n else center + half)


def mean_interval(scores: Array, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of a 1-D array of scores, and Student's t interval; NaN for one score alone.

    Infinite scores have an infinite mean and no interval.
    """
    from scipy.special import stdtrit

    mean = float(scores.mean())
    if scores.size < 2:
        return mean, math.nan, math.nan
    with np.errstate(invalid="ignore"):
        se = float(scores.std(ddof=1)) / math.sqrt(scores.size)
    half = float(stdtrit(scores.size - 1, 0.5 + confidence / 2)) * se
    return mean, mean - half, mean + half


def tango(gains: int, losses: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Tango's score interval for (gains - losses) / n, where n items were answered by both arms.

    The differences d that the score test does not reject: |z(d)| <= z, with the variance taken at the
    likeliest proportions under d; both ends by bisection, as z(d) falls in d.
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    estimate = (gains - losses) / n

    def score(d: float) -> float:
        b = (2 * n - gains + losses) * d - gains - losses
        c = -losses * d * (1 - d)
        loss_rate = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * loss_rate + d * (1 - d))
        gap = gains - losses - n * d
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    return _bisect(score, -1.0, estimate, z), _bisect(score, estimate, 1.0, -z)


def _bisect(score: Callable[[float], float], low: float, high: float, target: float) -> float:
    """Return where the falling `score` crosses `target` in [low, high]; the outer end where it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > target else (low, middle)
    return (low + high) / 2


def _t_difference(differences: Array, confidence: float, discordant: int) -> Difference:
    from scipy.special import stdtr, stdtrit

    n, mean = differences.size, float(differences.mean())
    if n == 1:
        return Difference(mean, -math.inf, math.inf, 1.0, n, discordant)
    se = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * se
    if se == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, n, discordant)
    p = min(1.0, 2 * float(stdtr(n - 1, -abs(mean) / se)))
    return Difference(mean, mean - half, mean + half, p, n, discordant)


def _mcnemar(losses: int, gains: int) -> float:
    """Two-sided exact (below 25 discordant) or mid-p binomial test of losses against gains."""
    from scipy.special import bdtr

    discordant, fewer = losses + gains, min(losses, gains)
    if losses == gains:
        return 1.0
    tail = float(bdtr(fewer, discordant, 0.5))
    if discordant >= EXACT_BELOW:
        # Half the probability of what was seen: the mean of the tails with and without it.
        tail = (tail + (float(bdtr(fewer - 1, discordant, 0.5)) if fewer else 0.0)) / 2
    return min(1.0, 2 * tail)


def _pair(first: checks.Values, second: checks.Values) -> tuple[Array, Array]:
    left, right = checks.sample(first, "baseline scores"), checks.sample(second, "candidate scores")
    if left.size != right.size:
        raise HarnessError(
            f"scores must pair item by item: {left.size} baseline and {right.size} candidate scores."
        )
    return left, right


def _is_binary(scores: Array) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))
