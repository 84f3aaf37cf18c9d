"""How often a change is called in experiments with known truth: false alarms, power, detectable effect.

An experiment is one comparison as a user would make it: a baseline, its control, and candidates that are
the same code with a known slow-down, 0 among them. Each candidate is judged alone with the report's rule; a
report that compares many candidates corrects for that and calls fewer changes.

Arms without a slow-down are interchangeable: any two of them can be baseline and control. So an experiment
gives several comparisons, one for each assignment of the roles. They share their noise: intervals count
experiments, not comparisons.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from harness.analysis.compare.comparison import judge
from harness.analysis.compare.timing import Timing, TrialKey, noise_floor, ratio_of
from harness.analysis.noise_study.relabelling import Relabelling, relabel
from harness.stats.multiple import p_value
from harness.stats.paired import proportion
from harness.stats.ratio import Ratio
from harness.stats.verdict import Verdict, bar, floor_magnitude

BASELINE, CONTROL = "baseline", "control"
SHARES = (0.25, 0.5, 1.0)
"""Shares of an experiment's first Trials: what less measuring would have shown."""
MIN_TRIALS = 2
"""Trials of the shortest prefix; one Trial does not show how processes differ."""
ALWAYS_ESTIMATED = (0.01, 0.02, 0.05)
"""Slow-downs that are always estimated, injected or not."""
RATE = 0.95
"""How often the minimum detectable effect is called."""


@dataclass
class Experiment:
    """Timings by arm (baseline, control, candidates); by Trial, timed seconds of an arm, and wall seconds."""

    timings: dict[str, Timing] = field(default_factory=dict)
    timed_s: dict[TrialKey, float] = field(default_factory=dict)
    wall_s: dict[TrialKey, float] = field(default_factory=dict)

    def add(
        self, trial: TrialKey, arms: Mapping[str, tuple[Sequence[int], Sequence[float]]], **took: float
    ) -> None:
        """Add one Trial: each arm's rounds and seconds per sample; it took `timed_s` and `wall_s`."""
        for name, (rounds, seconds) in arms.items():
            timing = self.timings.setdefault(name, Timing())
            timing.rounds[trial] = np.asarray(rounds, dtype=np.int64)
            timing.seconds[trial] = np.asarray(seconds, dtype=np.float64)
        self.timed_s[trial], self.wall_s[trial] = took["timed_s"], took["wall_s"]

    def first(self, share: float) -> Experiment:
        """Return this share of the experiment, its first Trials, at least MIN_TRIALS."""
        trials = sorted(self.timed_s)
        kept = trials[: max(MIN_TRIALS, math.ceil(share * len(trials)))]
        timings = {name: timing.of(kept) for name, timing in self.timings.items()}
        return Experiment(timings, {t: self.timed_s[t] for t in kept}, {t: self.wall_s[t] for t in kept})


@dataclass(frozen=True)
class Judged:
    """One candidate in one experiment: its true slow-down, its ratio, the noise floor, the Verdict."""

    effect: float
    ratio: Ratio
    floor: Ratio | None
    verdict: Verdict

    @property
    def needed(self) -> float:
        """The smallest slow-down that would have been called in this experiment (0.02 is 2 %).

        It would only have moved the estimate: it is the bar that the estimate must exceed (interval and noise
        floor, stats/verdict.py), minus the error of the estimate.
        """
        half = math.log(self.ratio.estimate / self.ratio.low) if self.ratio.low > 0 else math.inf
        needed = max(half, bar(self.ratio, floor_magnitude(self.floor)))
        error = -math.log(self.ratio.estimate) - math.log1p(self.effect)
        return math.expm1(needed - error) if needed < 700 else math.inf


@dataclass(frozen=True)
class Power:
    """How often candidates with one true slow-down got each Verdict; an experiment has `roles` comparisons.

    `experiments`: those with such a candidate. `calls`: the sum of the shares that each of them called.
    """

    effect: float
    slower: int
    faster: int
    equivalent: int
    inconclusive: int
    experiments: int
    calls: float
    roles: int = 1

    @property
    def comparisons(self) -> int:
        """Comparisons with a Verdict."""
        return self.slower + self.faster + self.equivalent + self.inconclusive

    @property
    def called(self) -> int:
        """Comparisons called changed if nothing changed, or called slower if it is slower."""
        return self.slower + (self.faster if self.effect == 0 else 0)

    @property
    def wrong_way(self) -> int:
        """Comparisons called faster though the candidate is slower."""
        return self.faster if self.effect else 0

    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval of the called share, counting whole experiments.

        A partly called experiment counts as a false alarm, or as a slow-down that was missed.
        """
        whole = math.floor if self.effect else math.ceil
        return proportion(whole(round(self.calls, 6)), self.experiments)


@dataclass(frozen=True)
class Prefix:
    """What the first Trials of all experiments show; figures of one experiment are medians over them.

    `halfwidth` is the relative half-width of the ratios' intervals; `smallest` the minimum detectable effect,
    called in 95 of 100 comparisons, from all candidates' `needed`; `comparison_s` the wall time of one
    comparison with one candidate. `relabel` estimates what many comparisons would show (relabelling.py).
    """

    share: float
    trials: float
    timed_s: float
    comparison_s: float
    halfwidth: float
    smallest: float
    powers: tuple[Power, ...]
    relabel: Relabelling | None = None


def judge_experiment(experiment: Experiment, effects: Mapping[str, float], target_ci: float) -> list[Judged]:
    """Judge every candidate (name → true slow-down) that was measured; one comparison each."""
    baseline = experiment.timings.get(BASELINE)
    control = experiment.timings.get(CONTROL)
    found = []
    for name, effect in effects.items():
        candidate = experiment.timings.get(name)
        ratio, floor = ratio_of(baseline, candidate), noise_floor(baseline, control, candidate)
        if ratio is not None:
            found.append(Judged(effect, ratio, floor, judge(ratio, floor, target_ci, p_value(ratio))))
    return found


def alike_of(effects: Mapping[str, float]) -> list[str]:
    """Return the arms that are the same code."""
    return [BASELINE, CONTROL, *(name for name, effect in effects.items() if effect == 0)]


def roles_of(experiment: Experiment, effects: Mapping[str, float]) -> list[Experiment]:
    """Return the experiment once for each assignment of its roles.

    All arms without a slow-down take every role: baseline, control, identical candidate. If they did not take
    part in the same Trials (arms that ended when their interval was narrow), the roles are not changed.
    """
    alike = alike_of(effects)
    if len({frozenset(experiment.timings[name].seconds) for name in alike if name in experiment.timings}) > 1:
        return [experiment]
    found = []
    for order in permutations(alike):
        taken = zip(alike, order, strict=True)
        roles = {role: experiment.timings[name] for role, name in taken if name in experiment.timings}
        slower = {name: timing for name, timing in experiment.timings.items() if name not in alike}
        found.append(Experiment(roles | slower, experiment.timed_s, experiment.wall_s))
    return found


def tally(experiments: Iterable[Sequence[Judged]]) -> tuple[Power, ...]:
    """Count Verdicts by true slow-down, smallest first, over the comparisons of all experiments.

    Each experiment has the same weight, however many comparisons it gives.
    """
    found: dict[float, list[Counter[Verdict]]] = {}
    for judged in experiments:
        mine: dict[float, Counter[Verdict]] = {}
        for one in judged:
            mine.setdefault(one.effect, Counter())[one.verdict] += 1
        for effect, counts in mine.items():
            found.setdefault(effect, []).append(counts)
    return tuple(_power(effect, counts) for effect, counts in sorted(found.items()))


def _power(effect: float, counts: Sequence[Counter[Verdict]]) -> Power:
    wanted = (Verdict.SLOWER,) if effect else (Verdict.SLOWER, Verdict.FASTER)
    total: Counter[Verdict] = sum(counts, Counter())
    return Power(
        effect,
        **{str(verdict): total[verdict] for verdict in Verdict},
        experiments=len(counts),
        calls=sum(sum(one[verdict] for verdict in wanted) / one.total() for one in counts),
        roles=max(one.total() for one in counts),
    )


def smallest_effect(judged: Sequence[Judged], rate: float = RATE) -> float:
    """Return the slow-down that the share `rate` of these comparisons would have called, or infinity."""
    return float(np.quantile([one.needed for one in judged], rate, method="higher")) if judged else math.inf


def summarize(
    experiments: Sequence[Experiment], effects: Mapping[str, float], target_ci: float, *, fixed: bool = True
) -> list[Prefix]:
    """Return what a quarter, half and all of the Trials show; prefixes of equal length once.

    `fixed`: whether the number of Trials was fixed. Otherwise arms ended when their own interval was narrow;
    relabelling would then describe another rule, so nothing is estimated.
    """
    found: dict[float, Prefix] = {}
    for share in SHARES:
        cut = [experiment.first(share) for experiment in experiments]
        told = [
            [one for part in roles_of(each, effects) for one in judge_experiment(part, effects, target_ci)]
            for each in cut
        ]
        judged = [one for part in told for one in part]
        if not judged:
            continue
        trials = float(np.median([len(experiment.timed_s) for experiment in cut]))
        arms, candidates = len(effects) + 2, [*effects.values(), *ALWAYS_ESTIMATED]
        estimate = relabel([e.timings for e in cut], alike_of(effects), candidates, RATE) if fixed else None
        found[trials] = Prefix(
            share=share,
            trials=trials,
            timed_s=float(np.median([sum(e.timed_s.values()) for e in cut])),
            comparison_s=float(np.median([sum(e.wall_s.values()) for e in cut])) * 3 / arms,
            halfwidth=float(np.median([one.ratio.halfwidth for one in judged])),
            smallest=smallest_effect(judged),
            powers=tally(told),
            relabel=estimate,
        )
    return list(found.values())
