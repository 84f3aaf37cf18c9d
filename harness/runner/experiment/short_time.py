"""A stopping rule that gives up arms where the time is too short for enough Trials of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from harness.runner.experiment.losers import Contenders, without
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import Decision, Stop, StoppingRule, companions_of
from harness.runner.experiment.trial import Key
from harness.stats.planning import MIN_TRIALS

GIVEN_UP = (
    "given up, because the time (--time) is too short for all Cells, and this one was least likely to win"
)
OVERHEAD = 1.1
"""Duration of a Trial over its starts and Blocks. Two workers import at a time, which hides most of it."""


@dataclass(frozen=True)
class ShortTime:
    """Give up arms until MIN_TRIALS of the others fit in before the `deadline`, a time of `time.monotonic`.

    The first to go are those that cannot win (their quality does not hold), then the slowest so far; one
    always stays. An interval of fewer Trials would not know how fresh processes differ.
    """

    rule: StoppingRule
    deadline: float
    contenders: Callable[[], Contenders]
    clock: Callable[[], float] = time.monotonic

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Decide as the rule does, and give up what does not fit into the time."""
        decision = self.rule.decide(history, keys, baseline, done)
        beside = companions_of(keys, baseline)
        subjects = [key for key in decision.allotments if key not in beside]
        left_s, trials = self.deadline - self.clock(), MIN_TRIALS - _most_trials(history, subjects)
        fixed_s = sum(_trial_s(history, key) for key in beside)

        def fits(these: Sequence[Key]) -> bool:
            return trials * (fixed_s + sum(_trial_s(history, key) for key in these)) <= left_s

        if trials >= MIN_TRIALS or trials <= 0 or fits(subjects):
            return decision
        found = self.contenders()

        def hope(key: Key) -> tuple[bool, float]:
            ratio = history.interleaved_ratio(baseline, key)
            may_win = key[0] in found.rivals or key[0] in found.kept
            return may_win, ratio.estimate if ratio is not None else 0.0

        stay = sorted(subjects, key=hope, reverse=True)
        while len(stay) > 1 and not fits(stay):
            stay.pop()
        return without(
            decision, [Stop(key, GIVEN_UP) for key in subjects if key not in stay], beside, history
        )


def _most_trials(history: Measurements, keys: Sequence[Key]) -> int:
    return max((history.arm(key).finished for key in keys), default=0)


def _trial_s(history: Measurements, key: Key) -> float:
    """Return the seconds that a Trial of an arm takes: its start, its Blocks, and what is around them."""
    arm = history.arm(key)
    return OVERHEAD * (arm.start_s + arm.timed_s / max(arm.attempts, 1))
