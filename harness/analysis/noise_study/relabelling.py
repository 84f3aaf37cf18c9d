"""What many comparisons would have told, reckoned from the Trials of a few experiments: an estimate.

Arms without a slow-down are the same code, in processes of their own in each Trial, so which of them was
baseline, shadow and candidate is a matter of naming. Named anew for each Trial, the first two together and so
on, 12 Trials of three arms can be cast in 6^6 ways, and each is as likely as what was measured. So the share
of casts that the report's rule calls is, on average over experiments, the share of comparisons that it calls
(as in a permutation test, the Trials are given). Two Trials keep one cast, since the second starts its
workers in the reverse order of the first (runner/experiment/sitting.py).

A slow-down is reckoned, not measured: it lengthens every call of the candidate by exactly its share. Of an
hour that no experiment fell into nothing is known: the more experiments, in more hours, the better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.analysis.compare.timing import Timing, ratio_of

if TYPE_CHECKING:
    from harness.analysis.noise_study.power import Experiment

CASTS = 20_000
"""Casts in all, spread over the experiments; at least FEWEST_CASTS of each."""
FEWEST_CASTS = 500
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Called:
    """The share of comparisons in which this slow-down is called (0: identical code called changed).

    `low` and `high` are the shares of the experiments in which it was lowest and highest.
    """

    effect: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Relabelling:
    """The estimate: from how many experiments, cast how often each; `smallest` is called in 95 of 100."""

    experiments: int
    casts: int
    smallest: float
    called: tuple[Called, ...]


def relabel(
    experiments: Sequence[Experiment], alike: Sequence[str], effects: Sequence[float], rate: float
) -> Relabelling | None:
    """Cast the arms `alike`, three or more, anew in every way, at random; None where nothing can be cast.

    `smallest` is the slow-down that the share `rate` of all casts calls.
    """
    known = [part for part in (log_ratios(one, alike) for one in experiments) if part is not None]
    if len(alike) < 3 or not known:
        return None
    rng = np.random.default_rng(0)
    casts = max(CASTS // len(known), FEWEST_CASTS)
    seen = [bars(logs, draw(trials, len(alike), casts, rng)) for trials, logs in known]
    needed = np.concatenate([bar + error for bar, error in seen])
    return Relabelling(
        experiments=len(known),
        casts=casts,
        smallest=math.expm1(float(np.quantile(needed, rate, method="higher"))),
        called=tuple(_called(effect, seen) for effect in sorted({0.0, *effects})),
    )


def log_ratios(experiment: Experiment, alike: Sequence[str]) -> tuple[NDArray[np.int64], Floats] | None:
    """Return the Trials that all arms `alike` have, two at least, and their log-ratios (Trial, arm, arm).

    An entry is how much faster the second arm was than the first, as `ratio_of` tells of one Trial.
    """
    timings = [experiment.timings.get(name, Timing()) for name in alike]
    common = sorted(set.intersection(*(set(timing.seconds) for timing in timings)))
    if len(common) < 2:
        return None
    logs = np.zeros((len(common), len(alike), len(alike)))
    for place, trial in enumerate(common):
        alone = [timing.of([trial]) for timing in timings]
        for i, j in permutations(range(len(alike)), 2):
            ratio = ratio_of(alone[i], alone[j])
            if ratio is None:
                return None
            logs[place, i, j] = math.log(ratio.estimate)
    return np.asarray(common, dtype=np.int64), logs


def draw(trials: NDArray[np.int64], arms: int, casts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw who is baseline, shadow and candidate: (cast, Trial, 3); Trials 2n and 2n + 1 have the same."""
    ways = np.array(list(permutations(range(arms), 3)))
    _, pair = np.unique(trials // 2, return_inverse=True)
    chosen: NDArray[np.int64] = ways[rng.integers(len(ways), size=(casts, int(pair.max()) + 1))][:, pair]
    return chosen


def bars(logs: Floats, roles: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return for each cast the bar that an effect has to pass, and the candidate's error, both as logarithms.

    The bar is that of stats/verdict.py: Student's t over Trials, or the noise floor, whichever is higher. A
    slow-down is called where its logarithm is above bar + error.
    """
    at = np.arange(len(logs))
    ratio, half = _interval(logs[at, roles[..., 0], roles[..., 2]])
    floor, floor_half = _interval(logs[at, roles[..., 0], roles[..., 1]])
    return np.maximum(half, np.abs(floor) + floor_half), ratio


def _interval(values: Floats) -> tuple[Floats, Floats]:
    """Mean over the Trials and half the width of its interval, cast by cast."""
    from scipy.special import stdtrit

    trials = values.shape[1]
    spread = values.std(axis=1, ddof=1) / math.sqrt(trials)
    mean: Floats = values.mean(axis=1)
    return mean, float(stdtrit(trials - 1, 0.5 + CONFIDENCE / 2)) * spread


def _called(effect: float, seen: Sequence[tuple[Floats, Floats]]) -> Called:
    shares = [
        float(np.mean(math.log1p(effect) > bar + error if effect else np.abs(error) > bar))
        for bar, error in seen
    ]
    return Called(effect, float(np.mean(shares)), min(shares), max(shares))
