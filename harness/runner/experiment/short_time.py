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

GIVEN_UP = "given up, since the time (--time) is too short for all, and it looked the least likely to win"


@dataclass
class ShortTime:
    """Give up arms until MIN_TRIALS of the others fit in before the `deadline`, a time of `time.monotonic`.

    The first to go are those that cannot win (their quality does not hold), then the slowest so far; one
    always stays. An interval of fewer Trials would not know how fresh processes differ.
    """

    rule: StoppingRule
    deadline: float
    contenders: Callable[[], Contenders]
    clock: Callable[[], float] = time.monotonic
    _asked: tuple[int, float] | None = None

    def decide(
        self, history: Measurements, keys: Sequence[Key], baseline: Key | None, done: Collection[Key] = ()
    ) -> Decision:
        """Decide as the rule does, and give up what does not fit into the time."""
        decision = self.rule.decide(history, keys, baseline, done)
        before, now = self._asked, self.clock()
        self._asked = (history.finished, now)
        beside = companions_of(keys, baseline)
        subjects = [key for key in decision.allotments if key not in beside]
        if before is None or before[0] >= history.finished or len(subjects) < 2:
            return decision
        trials_left = MIN_TRIALS - max(history.arm(key).finished for key in subjects)
        an_arm_s = (now - before[1]) / (history.finished - before[0]) / len(decision.allotments)
        if trials_left <= 0 or an_arm_s <= 0:
            return decision
        fitting = int((self.deadline - now) / trials_left / an_arm_s) - len(beside)
        if fitting >= len(subjects):
            return decision
        found = self.contenders()

        def hope(key: Key) -> tuple[bool, float]:
            ratio = history.interleaved_ratio(baseline, key)
            may_win = key[0] in found.rivals or key[0] in found.kept
            return may_win, ratio.estimate if ratio is not None else 0.0

        ordered = sorted(subjects, key=hope, reverse=True)
        return without(decision, [Stop(key, GIVEN_UP) for key in ordered[max(fitting, 1) :]], beside, history)
