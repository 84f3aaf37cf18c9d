"""How many times faster one arm is than another, when Trials differ and the arms' Blocks are interleaved.

All computations use logarithms, so swapping the arms inverts the ratio, and the unit of time does not matter.

1. Blocks of the same round are paired: drift affects both and cancels in their log-ratio.
2. A Trial's log-ratio is the median over its rounds: on a shared machine many Blocks are disturbed, but the
   median hardly moves as long as most pairs are not (location.py). Both arms are treated alike.
3. The Trials' log-ratios are the independent observations: mean, standard error and Student's t with Trials -
   1 degrees of freedom.

Why t and not a bootstrap: with few clusters the cluster bootstrap's intervals are too narrow, because it does
not account for how badly a few values estimate the spread (Cameron, Gelbach & Miller 2008, "Bootstrap-based
improvements for inference with clustered errors"). In simulations of five kinds of noise its nominal 95 %
interval covers about 50 % with 2 Trials, 75 % with 3, 83 % with 5 and 90 % with 10. The bootstrap-t is
unbounded below about 5 Trials and wider than t above. The percentile bootstrap, widened by t / z * sqrt(R /
(R - 1)), equals t at 100 times the cost. Student's t on the values of the highest level is the analysis of
Kalibera & Jones 2013 ("Rigorous benchmarking in reasonable time"); it covers 94-98 % from 3 Trials on, for
every kind of noise that is the same in both arms. Resampling Blocks within Trials would count their spread
twice, since it is part of the spread between Trials. Interleaving and pairing: Abedi & Brecht 2017; Bulej et
al. 2020 (duet benchmarking).

Where 95 % intervals cover less: 2 Trials with two modes (89 %), and Trials of one arm that are far more
skewed than the other's (86-90 %; no method tried here did much better). No interval can show a rare slow mode
that none of an arm's Trials fell into.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import HarnessError
from harness.stats import checks
from harness.stats.checks import Array, Values
from harness.stats.location import Location, located

Rounds = tuple[Sequence[Values], Sequence[Values]]


@dataclass(frozen=True)
class Ratio:
    """Baseline's time over the candidate's, with its interval; above 1 the candidate is faster. No unit.

    `trials`: number of Trials of the arm that has fewer. `blocks`: Blocks (or pairs of Blocks) used, over all
    Trials. `between_trials`: whether the interval holds the spread between Trials; False with one Trial per
    arm, and then the interval is too narrow, since a fresh process may change the speed. `log_se` and `df`:
    standard error of ln(estimate) and its degrees of freedom; the interval is estimate * exp(+- t * log_se),
    from 0 to infinity where nothing is known.
    """

    estimate: float
    low: float
    high: float
    trials: int
    blocks: int
    method: str
    between_trials: bool
    confidence: float
    log_se: float
    df: float

    @property
    def halfwidth(self) -> float:
        """Relative half-width: 0.02 means "to within 2 %"."""
        return self.high / self.estimate - 1

    def excludes_one(self) -> bool:
        """Whether no change lies outside the interval."""
        return self.low > 1 or self.high < 1


def speedup(
    baseline: Sequence[Values],
    candidate: Sequence[Values],
    confidence: float = 0.95,
    *,
    rounds: Rounds | None = None,
) -> Ratio:
    """Return how many times faster the candidate is, from the Trials of both arms.

    Each arm is a list of Trials, each a 1-D array of one statistic per Block (its median or mean seconds per
    call; for a statistic where more is better, swap the arms). `rounds` has the same shape as (baseline,
    candidate) and holds each Block's round. Blocks of the two arms are paired where Trial and round agree;
    Blocks without a partner are left out. Without rounds, or where a pair of Trials shares none, the two
    locations of the Trial are compared.

    Equal numbers of Trials: Trial r of one arm is compared with Trial r of the other; they must have been
    started together (else use `unpaired_ratio`). Unequal numbers: Welch's t on the arms' Trials. One Trial
    each: the interval holds the spread within the Trial only, and `between_trials` is False. Raises
    HarnessError for no Trials, empty Trials, NaN, times that are not positive, and a bad confidence.
    """
    checks.fraction(confidence, "a confidence")
    left = [np.log(blocks) for blocks in checks.trials(baseline, "baseline")]
    right = [np.log(blocks) for blocks in checks.trials(candidate, "candidate")]
    if len(left) != len(right):
        return _welch([located(t) for t in left], [located(t) for t in right], confidence)
    pairs = _paired_trials(left, right, rounds)
    if len(pairs) == 1:
        return _one_trial(pairs[0], confidence)
    values = np.array([pair.value for pair in pairs])
    se = math.sqrt(values.var(ddof=1) / len(pairs))
    blocks = sum(pair.n for pair in pairs)
    method = f"t over {len(pairs)} paired Trials"
    return _ratio(float(values.mean()), se, len(pairs) - 1, confidence, len(pairs), blocks, method)


def unpaired_ratio(
    baseline: Sequence[Values], candidate: Sequence[Values], confidence: float = 0.95
) -> Ratio:
    """Return how many times faster the candidate is, where the arms' Blocks were not interleaved.

    The arms are those of `speedup`, measured one after the other or in different Runs. Each Trial counts
    once, by its location on the log scale; the arms may have different numbers of Trials, in any order. The
    interval is Welch's t (Welch 1947, Biometrika 34:28); an arm of one Trial takes its spread from the other
    arm. With one Trial in each arm only the spread within Trials is known, and `between_trials` is False.

    The interval holds the spread between Trials of each arm. It does not hold what changes between the times
    at which the arms were measured: of two Runs, add the variance between Runs. Simulated, the nominal 95 %
    interval covers 94-98 % for similar numbers of Trials and 93 % for 3 Trials against 10, but only 82-88 %
    for 3 against 10 where Trials have two modes. Raises HarnessError as `speedup` does.
    """
    checks.fraction(confidence, "a confidence")
    left = [located(np.log(blocks)) for blocks in checks.trials(baseline, "baseline")]
    right = [located(np.log(blocks)) for blocks in checks.trials(candidate, "candidate")]
    if len(left) == len(right) == 1:
        return _one_trial(left[0] - right[0], confidence)
    return _welch(left, right, confidence)


def paired_ratios(
    baseline: Sequence[Values], candidate: Sequence[Values], rounds: Rounds | None = None
) -> list[Array]:
    """Return, per pair of Trials, the baseline / candidate ratio of each round: the pilot of `planning.plan`.

    Without rounds, Blocks are paired by position. Raises HarnessError where the arms have different numbers
    of Trials, or a pair of Trials shares no round.
    """
    left, right = checks.trials(baseline, "baseline"), checks.trials(candidate, "candidate")
    if len(left) != len(right):
        raise HarnessError(
            f"{len(left)} and {len(right)} Trials cannot be paired; give equally many of both arms."
        )
    if rounds is None:
        rounds = ([np.arange(t.size) for t in left], [np.arange(t.size) for t in right])
    indices = [_common(index, left, right, rounds) for index in range(len(left))]
    for index, (here, _) in enumerate(indices):
        if here.size == 0:
            raise HarnessError(f"Trial {index + 1}: the two arms share no round, so no Blocks can be paired.")
    return [left[i][here] / right[i][there] for i, (here, there) in enumerate(indices)]


def _paired_trials(left: list[Array], right: list[Array], rounds: Rounds | None) -> list[Location]:
    """Locate the log-ratio of each pair of Trials; round by round where they share at least two rounds."""
    pairs = []
    for index, (mine, other) in enumerate(zip(left, right, strict=True)):
        if rounds is not None:
            here, there = _common(index, left, right, rounds)
            if here.size > min(1, mine.size - 1, other.size - 1):
                pairs.append(located(mine[here] - other[there]))
                continue
        pairs.append(located(mine) - located(other))
    return pairs


def _common(
    trial: int, left: list[Array], right: list[Array], rounds: Rounds
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Return the indices, in the Trial of each arm, of the Blocks whose rounds agree."""
    numbers = []
    for arm, name, given in ((left, "baseline", rounds[0]), (right, "candidate", rounds[1])):
        if len(given) != len(arm) or np.size(given[trial]) != arm[trial].size:
            raise HarnessError(f"{name}, Trial {trial + 1}: give exactly one round for each Block.")
        numbers.append(np.asarray(given[trial]))
        if np.unique(numbers[-1]).size != arm[trial].size:
            raise HarnessError(
                f"{name}, Trial {trial + 1}: a round occurs twice; give one Block a round and arm."
            )
    _, here, there = np.intersect1d(numbers[0], numbers[1], assume_unique=True, return_indices=True)
    return here, there


def _one_trial(pair: Location, confidence: float) -> Ratio:
    """Student's t on the Blocks of one Trial of each arm; how Trials differ is not known."""
    method = f"t over {pair.n} Blocks of one Trial"
    return _ratio(pair.value, math.sqrt(pair.variance), pair.df, confidence, 1, pair.n, method)


def _welch(left: list[Location], right: list[Location], confidence: float) -> Ratio:
    """Welch's t on Trial locations; an arm of one Trial takes the other arm's spread between Trials."""
    arms = [np.array([trial.value for trial in arm]) for arm in (left, right)]
    fewest = min(arm.size for arm in arms)
    spread = [float(arm.var(ddof=1)) if arm.size > 1 else math.nan for arm in arms]
    if fewest == 1:
        known = next(value for value in spread if not math.isnan(value))
        variance, df = known * sum(1 / arm.size for arm in arms), float(max(arm.size for arm in arms) - 1)
        method = f"t over {arms[0].size} and {arms[1].size} Trials, spread taken from the arm with more"
    else:
        parts = [value / arm.size for value, arm in zip(spread, arms, strict=True)]
        variance = sum(parts)
        weights = sum(part**2 / (arm.size - 1) for part, arm in zip(parts, arms, strict=True))
        df = variance**2 / weights if weights > 0 else float(fewest - 1)
        method = f"Welch t over {arms[0].size} and {arms[1].size} Trials"
    center = float(arms[0].mean() - arms[1].mean())
    blocks = min(sum(trial.n for trial in arm) for arm in (left, right))
    return _ratio(center, math.sqrt(variance), df, confidence, fewest, blocks, method, between_trials=True)


def _ratio(
    center: float,
    se: float,
    df: float,
    confidence: float,
    trials: int,
    blocks: int,
    method: str,
    *,
    between_trials: bool | None = None,
) -> Ratio:
    """Turn a log-ratio, its standard error and degrees of freedom into a Ratio."""
    from scipy.special import stdtrit

    half = float(stdtrit(df, 0.5 + confidence / 2)) * se if df > 0 and math.isfinite(se) else math.inf
    return Ratio(
        estimate=_exp(center),
        low=_exp(center - half),
        high=_exp(center + half),
        trials=trials,
        blocks=blocks,
        method=method,
        between_trials=trials > 1 if between_trials is None else between_trials,
        confidence=confidence,
        log_se=se,
        df=float(df),
    )


def _exp(log: float) -> float:
    """Return the exponential, or infinity where it exceeds the range of a float."""
    return math.exp(log) if log < 700 else math.inf
