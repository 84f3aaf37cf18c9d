"""Quality compared sample by sample: baseline and candidate are evaluated on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Array

EXACT_BELOW = 25
"""Number of discordant samples below which McNemar's test is the exact conditional one."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline, in the unit of the scores (0.01 of a 0/1 score is one percentage point).

    `n` samples, of which `discordant` have different scores. The p-value is for "no difference", two-sided.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int
    discordant: int


def mcnemar(baseline_correct: checks.Values, candidate_correct: checks.Values) -> float:
    """Return the two-sided p-value of McNemar's test on two 1-D arrays of 0/1 (or bool), one entry a sample.

    Only the discordant samples count; under "no difference" each arm is equally often the one that is right.
    Below 25 of them: the exact binomial test. From 25: its mid-p version, which is nearly free of the exact
    test's conservatism (Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91). 1 where none is
    discordant. Raises HarnessError for empty arrays, different lengths, or entries other than 0 and 1.
    """
    first, second = _pair(baseline_correct, candidate_correct)
    if not (_is_binary(first) and _is_binary(second)):
        raise HarnessError("McNemar's test needs right or wrong (1 or 0) for each sample, got other scores.")
    return _mcnemar(int(np.sum(first > second)), int(np.sum(second > first)))


def paired_difference(
    baseline_scores: checks.Values,
    candidate_scores: checks.Values,
    confidence: float = 0.95,
    *,
    shares: bool = True,
) -> Difference:
    """Return the mean difference of two 1-D arrays of scores of the same samples, with interval and p-value.

    `shares` says that scores are right or wrong by nature (a cosine may be exactly 1 for all samples and is
    not). Then 0/1 scores in both arms get Tango's score interval for paired proportions (Tango 1998, Stat.
    Med. 17:891), which stays wide enough when few or no samples differ, and the p-value of `mcnemar`; the two
    may disagree at the very border. Other scores get Student's t on the differences, which needs a few dozen
    samples when differences are skewed; one sample alone has an unbounded interval. Raises HarnessError for
    empty arrays, different lengths, NaN, or a bad confidence.
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
    from scipy.stats import binomtest

    if n < 1 or not 0 <= successes <= n:
        raise HarnessError(f"a proportion needs 0 <= successes <= n and n >= 1, got {successes} of {n}.")
    interval = binomtest(successes, n).proportion_ci(checks.fraction(confidence, "a confidence"), "wilson")
    return float(interval.low), float(interval.high)


def mean_interval(scores: Array, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of a 1-D array of scores, and Student's t interval; NaN for one score alone.

    Infinite scores have an infinite mean and no interval.
    """
    mean = float(scores.mean())
    half = _t_error(scores, confidence)[1] if scores.size > 1 else math.nan
    return mean, mean - half, mean + half


def tango(gains: int, losses: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Tango's score interval for (gains - losses) / n, over n samples that both arms were scored on.

    It holds the differences d that the score test does not reject: |z(d)| <= z, with the variance taken at
    the most likely proportions under d. Both ends are found by bisection, since z(d) falls with d.
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


def _t_error(values: Array, confidence: float) -> tuple[float, float]:
    """Return the standard error of the mean of two values or more, and Student's t half-width."""
    from scipy.special import stdtrit

    with np.errstate(invalid="ignore"):  # infinite values have no spread
        se = float(values.std(ddof=1)) / math.sqrt(values.size)
    return se, float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * se


def _t_difference(differences: Array, confidence: float, discordant: int) -> Difference:
    from scipy.special import stdtr

    n, mean = differences.size, float(differences.mean())
    if n == 1:
        return Difference(mean, -math.inf, math.inf, 1.0, n, discordant)
    se, half = _t_error(differences, confidence)
    if se == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, n, discordant)
    p = min(1.0, 2 * float(stdtr(n - 1, -abs(mean) / se)))
    return Difference(mean, mean - half, mean + half, p, n, discordant)


def _mcnemar(losses: int, gains: int) -> float:
    """Two-sided exact (below 25 discordant) or mid-p binomial test of losses against gains."""
    from scipy.stats import binom, binomtest

    discordant, fewer = losses + gains, min(losses, gains)
    if losses == gains:
        return 1.0
    if discordant < EXACT_BELOW:
        return float(binomtest(fewer, discordant).pvalue)
    # Half the probability of what was seen: the mean of the tails with and without it.
    return float(2 * binom.cdf(fewer, discordant, 0.5) - binom.pmf(fewer, discordant, 0.5))


def _pair(first: checks.Values, second: checks.Values) -> tuple[Array, Array]:
    left, right = checks.numbers(first, "baseline scores"), checks.numbers(second, "candidate scores")
    if left.size != right.size:
        raise HarnessError(
            f"both arms must have one score for each sample: {left.size} baseline and {right.size} "
            "candidate scores."
        )
    return left, right


def _is_binary(scores: Array) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))
