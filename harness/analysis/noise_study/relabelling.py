"""What many comparisons would show, estimated from the Trials of a few experiments by relabelling their arms.

Arms without a slow-down are the same code, in processes of their own in each Trial. Which of them is called
baseline, control and candidate is arbitrary. With new labels for each pair of Trials, 12 Trials of three arms
can be labelled in 6^6 ways, and each is as likely as the measured one. So the share of relabellings that the
report's rule calls changed is, on average over experiments, the share of comparisons that it calls changed
(as in a permutation test, the Trials are given). Two Trials share their labels, since the second starts its
workers in the reverse order of the first (runner/experiment/start_order.py).

A slow-down is computed, not measured: it lengthens every call of the candidate by exactly its share. Nothing
is known about hours in which no experiment ran: more experiments, in more hours, give better estimates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from harness.analysis.compare.timing import Timing, ratio_of

RELABELLINGS = 20_000
"""Relabellings in total, divided among the experiments; at least MIN_RELABELLINGS of each."""
MIN_RELABELLINGS = 500
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Called:
    """The share of comparisons in which this slow-down is called (0: identical code is called changed).

    `low` and `high` are the lowest and the highest share of one experiment.
    """

    effect: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Relabelling:
    """The estimate, from `relabellings` of each experiment; `smallest` is the minimum detectable effect."""

    experiments: int
    relabellings: int
    smallest: float
    called: tuple[Called, ...]


def relabel(
    experiments: Sequence[Mapping[str, Timing]], alike: Sequence[str], effects: Sequence[float], rate: float
) -> Relabelling | None:
    """Relabel the arms `alike`, three or more, at random; None if nothing can be relabelled.

    `experiments` are timings by arm. `smallest` is the slow-down that the share `rate` of all relabellings
    calls.
    """
    known = [part for part in (log_ratios(one, alike) for one in experiments) if part is not None]
    if len(alike) < 3 or not known:
        return None
    rng = np.random.default_rng(0)
    count = max(RELABELLINGS // len(known), MIN_RELABELLINGS)
    seen = [bars(logs, draw(len(logs), len(alike), count, rng)) for logs in known]
    needed = np.concatenate([bar + error for bar, error in seen])
    return Relabelling(
        experiments=len(known),
        relabellings=count,
        smallest=math.expm1(float(np.quantile(needed, rate, method="higher"))),
        called=tuple(_called(effect, seen) for effect in sorted({0.0, *effects})),
    )


def log_ratios(experiment: Mapping[str, Timing], alike: Sequence[str]) -> Floats | None:
    """Return the log-ratios (Trial, arm, arm) of the Trials that all arms `alike` have; None below two.

    An entry is the logarithm of how much faster the second arm was than the first in this Trial.
    """
    timings = [experiment.get(name, Timing()) for name in alike]
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
    return logs


def draw(trials: int, arms: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw baseline, control and candidate: (relabelling, Trial, 3); Trials 2n and 2n + 1 get the same."""
    ways = np.array(list(permutations(range(arms), 3)))
    pair = np.arange(trials) // 2
    chosen: NDArray[np.int64] = ways[rng.integers(len(ways), size=(count, int(pair[-1]) + 1))][:, pair]
    return chosen


def bars(logs: Floats, roles: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return for each relabelling the bar that an effect must exceed, and the candidate's error (logarithms).

    The bar is that of stats/verdict.py: Student's t over Trials, or the noise floor, whichever is higher. A
    slow-down is called if its logarithm is above bar + error.
    """
    at = np.arange(len(logs))
    ratio, half = _interval(logs[at, roles[..., 0], roles[..., 2]])
    floor, floor_half = _interval(logs[at, roles[..., 0], roles[..., 1]])
    return np.maximum(half, np.abs(floor) + floor_half), ratio


def _interval(values: Floats) -> tuple[Floats, Floats]:
    """Return the mean over Trials and half the width of its interval, for each relabelling."""
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
