"""Who takes part in a Group's next Trial, with how many Blocks; who is done, and why.

A Suite that names a number of Trials gets that number. Otherwise a pilot of a few Trials tells how much
Trials and Blocks differ, the cheapest numbers for the wanted precision follow (stats/planning.py), and an arm
is done when the interval of its speed-up is narrow enough or its time is up. All is worked out anew from what
was recorded, so that a resumed Run goes on as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.runner.experiment.group_progress import Key
from harness.runner.experiment.measurements import History
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
from harness.suite.schema import Measure

PILOT_SHARE = 0.5
"""Most of `max_time` that the pilot may use."""
MAX_FAILURES = 3
"""After so many Trials in which its worker died, an arm is not tried again."""

OUT_OF_STARTS = "starting fresh processes took as long as max_time"
ENOUGH_TRIALS = f"{MAX_TRIALS} Trials made"
AS_ASKED = "the Trials that the suite asks for"
KEPT_FAILING = "its worker kept failing"
BASELINE_OUT = "max_time reached by the baseline"
BASELINE_LOST = "its baseline's worker kept failing"
NOT_NEEDED = "no arm needs it any more"
CONTROL = "control"


@dataclass(frozen=True)
class Allotment:
    """What an arm gets in one Trial: Blocks until one of both is reached. `planned` is the plan behind it."""

    blocks: float
    seconds: float
    planned: Budget | None = None


@dataclass(frozen=True)
class Stop:
    """An arm that is done: why, and the relative half-width of its interval, where there is one."""

    key: Key
    reason: str
    halfwidth: float | None = None


@dataclass(frozen=True)
class Decision:
    """The next Trial: a Turn for each arm in it (none: the Group is done), and who is done."""

    allotments: dict[Key, Allotment] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()
    trials: int = 0
    """How many Trials the Group will take in all, as far as is known."""


class StoppingRule(Protocol):
    """Decides what a Group's next Trial is."""

    def decide(
        self, history: History, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Return the next Trial of the arms `keys`, the baseline among them where there is one.

        `done` are arms that were stopped before; they stay so.
        """
        ...


def stopping_rule(measure: Measure) -> StoppingRule:
    """Return what the suite asks for: a fixed number of Trials, or as many as it takes."""
    return Planned(measure) if measure.trials == "auto" else Fixed(measure, measure.trials)


@dataclass(frozen=True)
class Fixed:
    """So many Trials, `max_time` spread evenly over them."""

    measure: Measure
    trials: int

    def decide(
        self, history: History, keys: Sequence[Key], _baseline: Key | None, _done: Collection[Key] = ()
    ) -> Decision:
        """Every arm takes part in every Trial."""
        if history.finished >= self.trials:
            return Decision(stops=tuple(Stop(key, AS_ASKED) for key in keys), trials=self.trials)
        allotment = Allotment(math.inf, self.measure.max_time / self.trials)
        return Decision(dict.fromkeys(keys, allotment), trials=self.trials)


@dataclass(frozen=True)
class Planned:
    """As many Trials and Blocks as the wanted precision takes, arm by arm."""

    measure: Measure

    def decide(
        self, history: History, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Arms that are done drop out; the baseline and its shadow stay for as long as another needs them.

        The shadow too, since the noise floor has to come from the same Trials as the ratio that it judges.
        """
        allotments: dict[Key, Allotment] = {}
        stops: list[Stop] = []
        companions = _companions(keys, baseline)
        out = self._baseline_is_out(history, baseline)
        for key in keys:
            if key in companions or key in done:
                continue
            found = self._arm(history, key, baseline if key != baseline else None)
            if out and isinstance(found, Allotment):
                found = Stop(key, out, _halfwidth(history.ratio(baseline, key)))
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

    def _baseline_is_out(self, history: History, baseline: Key | None) -> str | None:
        """Say why there will be no more Trials of the baseline, if so."""
        if baseline is None:
            return None
        if history.arm(baseline).failures >= MAX_FAILURES:
            return BASELINE_LOST
        return BASELINE_OUT if self._left(history, baseline) <= 0 else None

    def _left(self, history: History, key: Key) -> float:
        """Timed seconds that a companion has left: `max_time` for each part that the Group is cut into."""
        arm = history.arm(key)
        return self.measure.max_time * _parts(history, key) - arm.timed_s

    def _arm(self, history: History, key: Key, baseline: Key | None) -> Allotment | Stop:
        arm = history.arm(key)
        ratio = history.ratio(baseline, key)
        limit = self.measure.max_time
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
        if len(pilot) < MIN_TRIALS or max(map(len, pilot)) < 2:
            share = PILOT_SHARE * limit / MIN_TRIALS
            return Allotment(PILOT_BLOCKS, min(share, left))
        budget = self._milestone(history, key, baseline, pilot)
        if budget is None:
            return Stop(key, StopReason.TARGET_CI, _halfwidth(ratio))
        return Allotment(budget.blocks, left, budget)

    def _milestone(
        self, history: History, key: Key, baseline: Key | None, pilot: list[Array]
    ) -> Budget | None:
        """Plan from the pilot; look at the interval only when the planned Trials are in, then plan again.

        Looking after each Trial would stop at intervals that are narrow by luck. None: it is narrow enough.
        """
        seen = MIN_TRIALS
        while True:
            budget = self._budget(history, key, baseline, pilot[:seen])
            target = min(max(budget.trials, seen + max(2, seen // 4), WANTED_TRIALS), MAX_TRIALS)
            if len(pilot) < target:
                return replace(budget, trials=target)
            ratio = history.ratio(baseline, key, first=target)
            timed_s, limit = history.arm(key).timed_s, self.measure.max_time
            if ratio is not None and stop(ratio, self.measure.target_ci, timed_s, limit, target):
                return None
            if target == MAX_TRIALS:
                return budget
            seen = target

    def _budget(self, history: History, key: Key, baseline: Key | None, pilot: list[Array]) -> Budget:
        mine = history.arm(key)
        pair = [mine, history.arm(baseline)] if baseline is not None else [mine]
        both_s = sum(arm.block_s for arm in pair)
        timed = self.measure.max_time * both_s / max(arm.block_s for arm in pair)
        return plan(
            pilot,
            start_s=sum(arm.start_s for arm in pair),
            block_s=both_s,
            target_ci=self.measure.target_ci,
            max_time_s=timed * 2,
            max_timed_s=timed,
        )

    def _companion(self, history: History, key: Key, others: Sequence[Allotment]) -> Allotment:
        """The Turn of the baseline or its shadow: as many Blocks as any other arm gets, as time allows.

        A slow one must not spend in the first Trials what later ones need.
        """
        blocks = max(allotment.blocks for allotment in others)
        left = self._left(history, key)
        if any(allotment.planned is None for allotment in others):
            return Allotment(blocks, min(left, PILOT_SHARE * self.measure.max_time / MIN_TRIALS))
        to_go = (
            max(allotment.planned.trials for allotment in others if allotment.planned)
            - history.arm(key).attempts
        )
        return Allotment(blocks, left / max(to_go, 1) / _parts(history, key))

    def _trials(self, history: History, allotments: dict[Key, Allotment]) -> int:
        if not allotments:
            return history.finished
        plans = [allotment.planned.trials for allotment in allotments.values() if allotment.planned]
        return max([history.finished + 1, *plans]) if plans else max(WANTED_TRIALS, history.finished + 1)


def _companions(keys: Sequence[Key], baseline: Key | None) -> list[Key]:
    """The baseline and its shadow, where others are compared with them; else the baseline alone."""
    if baseline not in keys or len(keys) == 1:
        return []
    found = [key for key in keys if key == baseline or key[1] == CONTROL]
    return found if len(found) < len(keys) else [key for key in found if key == baseline]


def _parts(history: History, companion: Key) -> int:
    """Into how many parts a Group was cut so far: a companion takes part in each."""
    return max(1, round(history.arm(companion).attempts / history.finished)) if history.finished else 1


def _halfwidth(ratio: Ratio | None) -> float | None:
    return ratio.halfwidth if ratio is not None and math.isfinite(ratio.halfwidth) else None
