"""`harness run --time`: fits a Plan into a time, and ends measuring between Trials when the time is used."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.artifacts.cache import Cache
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import Decision, Stop, StoppingRule
from harness.runner.experiment.trial import Key
from harness.runner.plan import Plan, PlannedCell
from harness.stats.planning import MIN_TRIALS, PILOT_BLOCKS, WANTED_TRIALS
from harness.units import say_count, say_seconds

DROPPED = "given up to fit into the time of the Run (--time)"
TIME_USED = "the time of the Run was used up (--time)"


def fit(plan: Plan, cache: Cache, seconds: float, *, open_end: bool = False) -> str:
    """Change the Plan so that its estimate fits into `seconds`; return what it gives up, in words.

    First `max_time` falls, but not below a pilot: MIN_TRIALS of PILOT_BLOCKS Blocks. Then the Trials fall to
    MIN_TRIALS. Then Cells are skipped, the last of the suite first; a baseline only with its whole Group.

    `open_end`: losers are stopped (experiment/losers.py) and leave their time to the others. So Cells are
    skipped as far as MIN_TRIALS do not fit, but then `trials` and `max_time` are as asked.
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
    if now_s < asked.max_time and not open_end:
        given_up.append(f"max_time {say_seconds(asked.max_time)} → {say_seconds(now_s)}")
    if short > seconds:
        if (WANTED_TRIALS if asked.trials == "auto" else asked.trials) > MIN_TRIALS:
            _measure(plan, trials=MIN_TRIALS)
            if not open_end:
                given_up.append(f"trials {asked.trials} → {MIN_TRIALS}")
        if dropped := _drop(plan, lambda: sum(plan.estimate_s(cache)) <= seconds):
            given_up.append(say_count(dropped, "Cell"))
    if open_end:
        _measure(plan, trials=asked.trials, max_time=asked.max_time)
        if not given_up:
            return ""
    return (
        f"to fit into {say_seconds(seconds)} (--time), the Run gives up: {', '.join(given_up) or 'nothing'}"
    )


def _measure(plan: Plan, **changes: Any) -> None:
    spec = plan.suite.spec
    changed = spec.model_copy(update={"measure": spec.measure.model_copy(update=changes)})
    plan.suite = replace(plan.suite, spec=changed)


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

    `ended`: it stopped an arm for that reason, whether the arm had a Trial or not.
    """

    rule: StoppingRule
    deadline: float
    ended: bool = False

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Decide as the rule does, but stop all arms when the time is used."""
        decision = self.rule.decide(history, keys, baseline, done)
        if time.monotonic() < self.deadline:
            return decision
        self.ended = self.ended or bool(decision.allotments)
        late = (Stop(key, TIME_USED) for key in decision.allotments)
        return Decision(stops=(*decision.stops, *late), trials=history.finished)
