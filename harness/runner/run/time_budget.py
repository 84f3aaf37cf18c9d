"""`harness run --time`: fits a Plan into a time, and ends measuring between Trials when the time is used."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.artifacts.cache import Cache
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import Allotment, Decision, Stop, StoppingRule, companions_of
from harness.runner.experiment.trial import Key
from harness.runner.plan import Plan, PlannedCell
from harness.stats.planning import MIN_TRIALS, PILOT_BLOCKS, WANTED_TRIALS
from harness.units import say_count, say_seconds

DROPPED = "given up to fit into the time of the Run (--time)"
TIME_USED = "the time of the Run was used up (--time)"
FIRST_SHARE = 0.6
"""Share of the time that builds and a first Trial of each Cell may take, as estimated."""
EVALUATION_SHARE = 0.25
"""Share of the time that the evaluations of all Cells may take together."""


def fit(plan: Plan, cache: Cache, seconds: float) -> str:
    """Change the Plan so that its estimate fits into `seconds`; return what it gives up, in words.

    First `max_time` falls, but not below a pilot: MIN_TRIALS of PILOT_BLOCKS Blocks. Then the Trials fall to
    MIN_TRIALS. Then Cells are skipped, the last of the suite first; a baseline only with its whole Group.
    """
    asked = plan.suite.spec.measure
    least = min(asked.max_time, MIN_TRIALS * PILOT_BLOCKS * asked.block_time)
    whole = sum(plan.estimate_s(cache))
    if whole <= seconds:
        return ""
    given_up = []
    _measure(plan, max_time=least)
    short = sum(plan.estimate_s(cache))
    if short <= seconds:
        _measure(plan, max_time=least + (asked.max_time - least) * (seconds - short) / (whole - short))
    now_s = plan.suite.spec.measure.max_time
    if now_s < asked.max_time:
        given_up.append(f"max_time {say_seconds(asked.max_time)} → {say_seconds(now_s)}")
    if short > seconds:
        if (WANTED_TRIALS if asked.trials == "auto" else asked.trials) > MIN_TRIALS:
            _measure(plan, trials=MIN_TRIALS)
            given_up.append(f"trials {asked.trials} → {MIN_TRIALS}")
        if dropped := _drop(plan, lambda: sum(plan.estimate_s(cache)) <= seconds):
            given_up.append(say_count(dropped, "Cell"))
    return (
        f"to fit into {say_seconds(seconds)} (--time), the Run gives up: {', '.join(given_up) or 'nothing'}"
    )


def fit_first_trial(plan: Plan, cache: Cache, seconds: float) -> str:
    """Skip the last Cells if all builds and a first Trial do not fit into FIRST_SHARE of the time.

    For a Run that gives up more after the first Trial (experiment/short_time.py). Return it in words. The
    time of one evaluation becomes an equal part of EVALUATION_SHARE, unless the suite allows less.
    """
    asked, dropped = plan.suite.spec.measure, 0
    _measure(plan, trials=1, max_time=min(asked.max_time, PILOT_BLOCKS * asked.block_time))
    if sum(plan.estimate_s(cache)) > FIRST_SHARE * seconds:
        dropped = _drop(plan, lambda: sum(plan.estimate_s(cache)) <= FIRST_SHARE * seconds)
    _measure(plan, trials=asked.trials, max_time=asked.max_time)
    cells = max(1, sum(planned.skip is None for planned in plan.cells.values()))
    _limit_evaluation(plan, EVALUATION_SHARE * seconds / cells)
    given_up = say_count(dropped, "Cell")
    return f"to fit into {say_seconds(seconds)} (--time), the Run gives up: {given_up}" if dropped else ""


def _measure(plan: Plan, **changes: Any) -> None:
    spec = plan.suite.spec
    changed = spec.model_copy(update={"measure": spec.measure.model_copy(update=changes)})
    plan.suite = replace(plan.suite, spec=changed)


def _limit_evaluation(plan: Plan, seconds: float) -> None:
    spec = plan.suite.spec
    quality = spec.quality.model_copy(update={"time": min(seconds, spec.quality.time or seconds)})
    plan.suite = replace(plan.suite, spec=spec.model_copy(update={"quality": quality}))


def _drop(plan: Plan, fits: Callable[[], bool]) -> int:
    """Skip as few Cells as make the Plan fit, at most all but the first; return their number."""
    able: list[tuple[PlannedCell, ...]] = []
    for group in plan.groups:
        runnable = plan.runnable(group)
        others = [planned for planned in runnable if planned.cell != group.baseline]
        baseline = [planned for planned in runnable if planned.cell == group.baseline]
        able += [(*baseline, *others[:1]), *((planned,) for planned in others[1:])] if runnable else []
    able = able[:0:-1]  # the last first, and never the first
    jobs = plan.jobs

    def fits_without(count: int) -> bool:
        for index, cells in enumerate(able):
            for planned in cells:
                planned.skip = DROPPED if index < count else None
        kept = [planned for planned in plan.cells.values() if planned.skip is None]
        keys = {job.key for planned in kept for job in planned.jobs}
        keys |= {plan.data_keys[planned.cell.model.name] for planned in kept}
        plan.jobs = {key: job for key, job in jobs.items() if key in keys}
        return fits()

    count = min(bisect_left(range(len(able) + 1), True, key=fits_without), len(able))
    fits_without(count)
    return sum(map(len, able[:count]))


@dataclass
class Until:
    """A stopping rule that makes no more Trials after the `deadline`, a time of `time.monotonic`.

    `answers`: even then, the first Trial compares the baseline with the first arm that the rule allots, so
    that a Run always has an answer. `ended`: it stopped an arm for that reason, with or without a Trial.
    """

    rule: StoppingRule
    deadline: float
    answers: bool = False
    ended: bool = False

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Decide as the rule does, but stop all arms when the time is used."""
        decision = self.rule.decide(history, keys, baseline, done)
        if time.monotonic() < self.deadline:
            return decision
        kept: dict[Key, Allotment] = {}
        if self.answers and history.finished == 0:
            beside = companions_of(keys, baseline)
            first = next((key for key in decision.allotments if key not in beside), None)
            kept = {key: one for key, one in decision.allotments.items() if key == first or key in beside}
        late = [Stop(key, TIME_USED) for key in decision.allotments if key not in kept]
        self.ended = self.ended or bool(late)
        return Decision(kept, (*decision.stops, *late), decision.trials if kept else history.finished)
