"""Stopping rules: which arms take part in the next Trial, with how many Blocks; which are finished, and why.

A suite that names a number of Trials gets that number. Otherwise a pilot of a few Trials shows how much
Trials and Blocks vary, the cheapest numbers for the target interval follow (stats/planning.py), and an arm
stops when the interval of its speed-up is narrow enough or its time is used up. Each decision follows from
the measurements alone, so that a resumed Run decides as if it had never been interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.trial import Key, Settings
from harness.stats.checks import Array
from harness.stats.planning import (
    MAX_TRIALS,
    MIN_TRIALS,
    PILOT_BLOCKS,
    WANTED_TRIALS,
    Budget,
    StopReason,
    plan,
    stop,
)
from harness.stats.ratio import Ratio

PILOT_SHARE = 0.5
"""Largest share of `max_time` that the pilot may use."""
MAX_FAILURES = 3
"""An arm whose worker died in so many Trials is not tried again."""

OUT_OF_STARTS = "starting fresh processes took as long as max_time"
ENOUGH_TRIALS = f"{MAX_TRIALS} Trials made"
AS_ASKED = "the Trials that the suite asks for"
KEPT_FAILING = "its worker kept failing"
BASELINE_OUT = "max_time reached by the baseline"
BASELINE_LOST = "its baseline's worker kept failing"
NOT_NEEDED = "no arm needs it any more"


@dataclass(frozen=True)
class Allotment:
    """What an arm gets in one Trial: Blocks until one of both is reached. `planned` is the plan behind it."""

    blocks: float
    seconds: float
    planned: Budget | None = None


@dataclass(frozen=True)
class Stop:
    """An arm that is finished: the reason, and the relative half-width of its interval, if it has one."""

    key: Key
    reason: str
    halfwidth: float | None = None


@dataclass(frozen=True)
class Decision:
    """The next Trial: an Allotment for each arm in it (none: nothing is left to do), and the stopped arms.

    `trials` is the total number of Trials that is expected so far.
    """

    allotments: dict[Key, Allotment] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()
    trials: int = 0


class StoppingRule(Protocol):
    """Decides what the next Trial is."""

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Return the next Trial of the arms `keys`, the baseline among them where there is one.

        `done` are arms that were stopped before; they stay stopped.
        """
        ...


def stopping_rule(settings: Settings) -> StoppingRule:
    """Return what the settings ask for: a fixed number of Trials, or as many as the target interval takes."""
    return Planned(settings) if settings.trials == "auto" else Fixed(settings, settings.trials)


@dataclass(frozen=True)
class Fixed:
    """A fixed number of Trials, `max_time` spread evenly over them."""

    settings: Settings
    trials: int

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Each arm takes part until it has its Trials; the baseline and its control stay until all have."""
        companions = companions_of(keys, baseline)
        others = [key for key in keys if key not in companions and key not in done]
        left = {key: self.trials - history.arm(key).finished for key in others}
        if max(left.values(), default=0) <= 0:
            return Decision(stops=tuple(Stop(key, AS_ASKED) for key in keys), trials=history.finished)
        allotment = Allotment(math.inf, self.settings.max_time / self.trials)
        taking = [key for key in keys if key in companions or left.get(key, 0) > 0]
        return Decision(dict.fromkeys(taking, allotment), trials=history.finished + max(left.values()))


@dataclass(frozen=True)
class Planned:
    """As many Trials and Blocks as the target interval needs, arm by arm."""

    settings: Settings

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Stopped arms leave; the baseline and its control stay as long as another arm needs them.

        The control stays because the noise floor must come from the same Trials as the ratio.
        """
        allotments: dict[Key, Allotment] = {}
        stops: list[Stop] = []
        companions = companions_of(keys, baseline)
        out = self._baseline_is_out(history, baseline)
        for key in keys:
            if key in companions or key in done:
                continue
            found = self._arm(history, key, baseline if key != baseline else None)
            if out and isinstance(found, Allotment):
                found = Stop(key, out, _halfwidth(history.interleaved_ratio(baseline, key)))
            if isinstance(found, Allotment):
                allotments[key] = found
            else:
                stops.append(found)
        if allotments:
            others = list(allotments.values())
            allotments |= {key: self._companion(history, key, others) for key in companions}
        else:
            stops += [Stop(key, NOT_NEEDED) for key in companions]
        return Decision(allotments, tuple(stops), self._trials(history, allotments))

    def _baseline_is_out(self, history: Measurements, baseline: Key | None) -> str | None:
        """Return the reason why there will be no more Trials of the baseline, if there is one."""
        if baseline is None:
            return None
        if history.arm(baseline).failures >= MAX_FAILURES:
            return BASELINE_LOST
        return BASELINE_OUT if self._left(history, baseline) <= 0 else None

    def _left(self, history: Measurements, key: Key) -> float:
        """Timed seconds that a companion has left: `max_time` for each part that the arms are split into."""
        return self.settings.max_time * _parts(history, key) - history.arm(key).timed_s

    def _arm(self, history: Measurements, key: Key, baseline: Key | None) -> Allotment | Stop:
        arm = history.arm(key)
        ratio = history.interleaved_ratio(baseline, key)
        limit = self.settings.max_time
        ends = {
            KEPT_FAILING: arm.failures >= MAX_FAILURES,
            StopReason.MAX_TIME: arm.timed_s >= limit,
            ENOUGH_TRIALS: arm.attempts >= MAX_TRIALS,
            OUT_OF_STARTS: arm.attempts >= MIN_TRIALS and arm.attempts * arm.start_s >= limit,
        }
        if reason := next((text for text, true in ends.items() if true), None):
            return Stop(key, reason, _halfwidth(ratio))
        left = limit - arm.timed_s
        pilot = history.ratios(baseline, key)
        if len(pilot) < MIN_TRIALS or max(map(len, [*pilot.values()][:MIN_TRIALS])) < 2:
            share = PILOT_SHARE * limit / MIN_TRIALS
            return Allotment(PILOT_BLOCKS, min(share, left))
        budget = self._milestone(history, key, baseline, pilot)
        if budget is None:
            return Stop(key, StopReason.TARGET_CI, _halfwidth(ratio))
        return Allotment(budget.blocks, left, budget)

    def _milestone(
        self, history: Measurements, key: Key, baseline: Key | None, pilot: dict[int, Array]
    ) -> Budget | None:
        """Plan from the pilot; check the interval only after the planned Trials, then plan again.

        A check after each Trial would stop at intervals that are narrow by chance. So a milestone follows
        from the Trials before it alone, and later ones do not move it. None: the interval is narrow enough.
        """
        seen = MIN_TRIALS
        while True:
            budget = self._budget(history, key, baseline, dict(islice(pilot.items(), seen)))
            target = min(max(budget.trials, seen + max(2, seen // 4), WANTED_TRIALS), MAX_TRIALS)
            if len(pilot) < target:
                return replace(budget, trials=target)
            ratio = history.interleaved_ratio(baseline, key, first=target)
            timed_s, limit = history.arm(key).timed_s, self.settings.max_time
            if ratio is not None and stop(ratio, self.settings.target_ci, timed_s, limit, target):
                return None
            if target == MAX_TRIALS:
                return budget
            seen = target

    def _budget(
        self, history: Measurements, key: Key, baseline: Key | None, pilot: dict[int, Array]
    ) -> Budget:
        """Plan from the ratios and the costs of the Trials in `pilot`, by number, and of no others."""
        pair = [history.arm(one).among(pilot) for one in (key, baseline) if one is not None]
        both_s = sum(arm.block_s for arm in pair)
        timed = self.settings.max_time * both_s / max(arm.block_s for arm in pair)
        return plan(
            list(pilot.values()),
            start_s=sum(arm.start_s for arm in pair),
            block_s=both_s,
            target_ci=self.settings.target_ci,
            max_time_s=timed * 2,
            max_timed_s=timed,
        )

    def _companion(self, history: Measurements, key: Key, others: Sequence[Allotment]) -> Allotment:
        """Return the Allotment of the baseline or its control: as many Blocks as any other arm gets.

        Its time is spread over the Trials to come, so that a slow one has some left for the last of them.
        """
        blocks = max(allotment.blocks for allotment in others)
        left = self._left(history, key)
        if any(allotment.planned is None for allotment in others):
            return Allotment(blocks, min(left, PILOT_SHARE * self.settings.max_time / MIN_TRIALS))
        planned = max(allotment.planned.trials for allotment in others if allotment.planned)
        to_go = planned - history.arm(key).attempts
        return Allotment(blocks, left / max(to_go, 1) / _parts(history, key))

    def _trials(self, history: Measurements, allotments: dict[Key, Allotment]) -> int:
        if not allotments:
            return history.finished
        plans = [allotment.planned.trials for allotment in allotments.values() if allotment.planned]
        return max([history.finished + 1, *plans]) if plans else max(WANTED_TRIALS, history.finished + 1)


def companions_of(keys: Sequence[Key], baseline: Key | None) -> list[Key]:
    """Return the baseline and its control, where others are compared with them; else the baseline alone."""
    if baseline not in keys or len(keys) == 1:
        return []
    found = [key for key in keys if key == baseline or key[1] == "control"]
    return found if len(found) < len(keys) else [key for key in found if key == baseline]


def _parts(history: Measurements, companion: Key) -> int:
    """Return into how many parts the arms were split so far: a companion takes part in each."""
    return max(1, round(history.arm(companion).attempts / history.finished)) if history.finished else 1


def _halfwidth(ratio: Ratio | None) -> float | None:
    return ratio.halfwidth if ratio is not None and math.isfinite(ratio.halfwidth) else None
