"""What was recorded of a Group so far: each arm's Trials, times and failures, and ratios between arms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from harness.analysis.compare.timing import Timing, ratio_of, timings
from harness.analysis.records.arms import Event, block_row
from harness.runner.experiment.group_progress import Key
from harness.stats.checks import Array
from harness.stats.ratio import Ratio, paired_ratios
from harness.store.arrays import unpack


@dataclass
class ArmHistory:
    """One arm: `attempts` are Trials begun, `failures` those whose worker died."""

    attempts: int = 0
    failures: int = 0
    blocks: int = 0
    timed_s: float = 0.0
    starting_s: float = 0.0
    peak_bytes: int = 0
    timing: Timing = field(default_factory=Timing)

    @property
    def start_s(self) -> float:
        """Seconds from the start of a Trial's process until its first Block."""
        return self.starting_s / self.attempts if self.attempts else 0.0

    @property
    def block_s(self) -> float:
        """Seconds of a Block."""
        return self.timed_s / self.blocks if self.blocks else 0.0


class History:
    """All arms of one Group; `note` takes each event of the Run as it comes, those of other Groups too."""

    def __init__(self, scenarios: dict[str, str], events: Iterable[Event] = (), finished: int = 0) -> None:
        self._scenarios = scenarios
        self._arms: dict[Key, ArmHistory] = defaultdict(ArmHistory)
        self._rows: list[dict[str, object]] = []
        self._current = True
        self.finished = finished
        for event in events:
            self.note(event)

    def note(self, event: Event) -> None:
        """Take in one event."""
        if event.get("cell_id") not in self._scenarios or "arm" not in event:
            return
        arm = self._arms[event["cell_id"], event["arm"]]
        match event["event"]:
            case "ready":
                arm.attempts += 1
                arm.starting_s += event["import_s"]
            case "loaded":
                arm.starting_s += event["load_s"] + event["first_call_s"]
            case "warm":
                arm.starting_s += event["seconds"]
            case "block":
                arm.blocks += 1
                arm.timed_s += event["duration_ns"] / 1e9
                self._rows.append(block_row(event, unpack(event["calls_ns"]), 0, 0.0))
                self._current = False
            case "memory":
                arm.peak_bytes = max(arm.peak_bytes, event["steady"]["peak_rss_bytes"])
            case "trial-failed":
                arm.failures += 1

    def arm(self, key: Key) -> ArmHistory:
        """What is known of an arm; nothing yet is an empty history."""
        if not self._current:
            self._arrange()
        return self._arms[key]

    def ratio(self, baseline: Key | None, key: Key, first: int | None = None) -> Ratio | None:
        """How many times faster an arm is than the baseline, from the `first` Trials that both have.

        Without a baseline: the arm's own speed, 1/s, of which only the interval's width matters.
        """
        reference, mine = self._pair(baseline, key)
        for timing in (reference, mine):
            for trial in list(timing.seconds)[first:] if first is not None else ():
                del timing.seconds[trial], timing.rounds[trial]
        return ratio_of(reference, mine)

    def ratios(self, baseline: Key | None, key: Key) -> list[Array]:
        """Return the ratio of each round, by Trials that both arms have: a pilot for `planning.plan`."""
        reference, mine = self._pair(baseline, key)
        if not mine.seconds:
            return []
        sides = [[arm.seconds[trial] for trial in mine.seconds] for arm in (reference, mine)]
        rounds = [[arm.rounds[trial] for trial in mine.seconds] for arm in (reference, mine)]
        return paired_ratios(sides[0], sides[1], rounds=(rounds[0], rounds[1]))

    def _pair(self, baseline: Key | None, key: Key) -> tuple[Timing, Timing]:
        """The Timings of both arms, cut down to Trials in which they share a round."""
        mine = self.arm(key).timing
        if baseline is None:
            ones = {trial: np.ones_like(seconds) for trial, seconds in mine.seconds.items()}
            return Timing(ones, dict(mine.rounds)), Timing(dict(mine.seconds), dict(mine.rounds))
        other = self.arm(baseline).timing
        common = [
            trial
            for trial in sorted(mine.seconds.keys() & other.seconds.keys())
            if np.intersect1d(mine.rounds[trial], other.rounds[trial]).size
        ]
        first, second = (
            Timing({t: arm.seconds[t] for t in common}, {t: arm.rounds[t] for t in common})
            for arm in (other, mine)
        )
        return first, second

    def _arrange(self) -> None:
        """Sort the Blocks by arm and Trial, once after new ones have come."""
        for key, timing in timings(pd.DataFrame(self._rows), self._scenarios).items():
            self._arms[key].timing = timing
        self._current = True
