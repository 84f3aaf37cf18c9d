"""What one sitting has measured so far: each arm's Trials, times and failures, and ratios between arms.

All of it follows from the sitting's events, so that an interrupted sitting continues from its journal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from harness.analysis.compare.timing import Timing, interleaved, ratio_of, timings
from harness.runner.experiment.trial import Key
from harness.stats.checks import Array
from harness.stats.ratio import Ratio, paired_ratios, unpaired_ratio
from harness.store.journal import Event, summarized

TIMED = ("cell_id", "arm", "sitting", "trial", "round", "samples", "calls", "median_s", "seconds_per_sample")
"""Columns of a Block that its speed follows from, beside its duration."""


@dataclass
class TrialTimes:
    """One Trial of one arm; times are seconds. `finished`: it ran until the end of the Trial."""

    started: bool = False
    failed: bool = False
    finished: bool = False
    blocks: int = 0
    timed_s: float = 0.0
    start_s: float = 0.0


@dataclass
class ArmHistory:
    """All Trials of one arm, by number; `timing` holds the Blocks of those that statistics can use."""

    trials: dict[int, TrialTimes] = field(default_factory=lambda: defaultdict(TrialTimes))
    peak_bytes: int = 0
    device_bytes: int = 0
    timing: Timing = field(default_factory=Timing)

    @property
    def attempts(self) -> int:
        """Trials whose process got ready."""
        return sum(trial.started for trial in self.trials.values())

    @property
    def failures(self) -> int:
        """Trials whose process died."""
        return sum(trial.failed for trial in self.trials.values())

    @property
    def finished(self) -> int:
        """Trials that ended, including those in which the process died."""
        return sum(trial.finished for trial in self.trials.values())

    @property
    def blocks(self) -> int:
        """Blocks timed."""
        return sum(trial.blocks for trial in self.trials.values())

    @property
    def timed_s(self) -> float:
        """Seconds of all Blocks."""
        return sum(trial.timed_s for trial in self.trials.values())

    @property
    def start_s(self) -> float:
        """Mean seconds from the start of a Trial's process until its first Block."""
        return sum(trial.start_s for trial in self.trials.values()) / max(self.attempts, 1)

    @property
    def block_s(self) -> float:
        """Mean seconds of a Block."""
        return self.timed_s / max(self.blocks, 1)

    def among(self, trials: Collection[int]) -> ArmHistory:
        """Return the history of the Trials whose numbers are among `trials`."""
        kept = {number: trial for number, trial in self.trials.items() if number in trials}
        timing = self.timing.of([key for key in self.timing.seconds if key[1] in trials])
        return replace(self, trials=defaultdict(TrialTimes, kept), timing=timing)


class Measurements:
    """All arms of one sitting. `note` takes its events one by one and ignores those of other sittings.

    `finished` counts Trials that all arms have taken part in; `next_trial` is the number of the next one, and
    where memory splits the arms into parts, each part has Trial numbers of its own. `scenarios` are those of
    the arms, by id. `timed`, `evaluated` and `failed` are ids of arms; failed ones died before a Block.
    `start_orders` has the arms of each Trial in the order in which their workers started.
    """

    def __init__(self, sitting: str, events: Iterable[Event] = ()) -> None:
        self.sitting = sitting
        self.scenarios: dict[str, str] = {}
        self.finished = self.next_trial = 0
        self.timed: set[str] = set()
        self.evaluated: set[str] = set()
        self.failed: set[str] = set()
        self.stopped: set[Key] = set()
        self.start_orders: dict[int, list[Key]] = {}
        self._arms: dict[Key, ArmHistory] = defaultdict(ArmHistory)
        self._rows: list[dict[str, object]] = []
        self._arranged = True
        for event in events:
            self.note(event)
        self.failed.clear()  # a full disk or lack of memory may have passed: the next session tries again

    def note(self, event: Event) -> None:
        """Take in one event."""
        if event.get("sitting") != self.sitting:
            return
        if event["event"] == "trial-start":
            self.next_trial = event["trial"] + 1
            self.start_orders[event["trial"]] = [(cell_id, role) for cell_id, role in event.get("arms", ())]
        elif event["event"] == "trial-done":
            self.finished = event["finished"]
            for cell_id, role in event["arms"]:
                self._arms[cell_id, role].trials[event["trial"]].finished = True
        elif event["event"] == "stop":
            self.stopped.add((event["cell_id"], event["arm"]))
        elif "trial" in event:
            self._note_trial(event)

    def _note_trial(self, event: Event) -> None:
        key = event["cell_id"], event["arm"]
        arm = self._arms[key]
        trial = arm.trials[event["trial"]]
        match event["event"]:
            case "ready":
                trial.started = True
                trial.start_s += event["import_s"]
            case "loaded":
                trial.start_s += event["load_s"] + event["first_call_s"]
            case "warm":
                trial.start_s += event["seconds"]
            case "block":
                trial.blocks += 1
                trial.timed_s += event["duration_ns"] / 1e9
                block = summarized(event)
                row = {name: block.get(name) for name in TIMED}
                self._rows.append({**row, "duration_s": block["duration_ns"] / 1e9})
                self._arranged = False
                if event["arm"] != "control":
                    self.timed.add(event["cell_id"])
                    self.failed.discard(event["cell_id"])
            case "memory":
                arm.peak_bytes = max(arm.peak_bytes, event["steady"]["peak_rss_bytes"])
                arm.device_bytes = max(arm.device_bytes, event["steady"].get("device_bytes") or 0)
            case "evaluation":
                self.evaluated.add(event["cell_id"])
            case "trial-failed":
                trial.failed = True
                if event["arm"] != "control" and event["cell_id"] not in self.timed:
                    self.failed.add(event["cell_id"])
            case "trial-again":
                arm.trials[event["trial"]] = TrialTimes()
                self.failed.discard(event["cell_id"])
                order = self.start_orders.get(event["trial"], [])
                order[:] = [*(one for one in order if one != key), key]

    def arm(self, key: Key) -> ArmHistory:
        """Return what is known of an arm; an unknown arm has an empty history."""
        if not self._arranged:
            for one, timing in timings(pd.DataFrame(self._rows), self.scenarios).items():
                self._arms[one].timing = timing
            self._arranged = True
        return self._arms[key]

    def among(self, arms: Collection[Key]) -> Measurements:
        """Return the measurements of those Trials that at least one of `arms` took part in.

        So a baseline that was measured beside other arms before still has its whole time for these.
        """
        numbers = {number for key in arms for number in self.arm(key).trials}
        kept = Measurements(self.sitting)
        kept._arms |= {key: arm.among(numbers) for key, arm in self._arms.items()}
        kept.finished = min(self.finished, max((kept.arm(key).finished for key in arms), default=0))
        return kept

    def interleaved_ratio(self, baseline: Key | None, key: Key, first: int | None = None) -> Ratio | None:
        """Return how many times faster an arm is than the baseline, from the `first` Trials that both have.

        None where no Blocks of the two were interleaved. Without a baseline: the arm's own speed, 1/s, where
        only the width of the interval means something.
        """
        arms = list(self._pair(baseline, key))
        if first is not None:
            arms = [timing.of(list(timing.seconds)[:first]) for timing in arms]
        return ratio_of(*arms)

    def ratios(self, baseline: Key | None, key: Key) -> dict[int, Array]:
        """Return the ratio of each round, by the number of the Trial: a pilot for `planning.plan`."""
        reference, mine = self._pair(baseline, key)
        if not mine.seconds:
            return {}
        seconds = [list(arm.seconds.values()) for arm in (reference, mine)]
        rounds = [list(arm.rounds.values()) for arm in (reference, mine)]
        found = paired_ratios(seconds[0], seconds[1], (rounds[0], rounds[1]))
        return dict(zip((number for _, number in mine.seconds), found, strict=True))

    def _pair(self, baseline: Key | None, key: Key) -> tuple[Timing, Timing]:
        """Return the Timings of both arms, reduced to Trials in which they share a round."""
        mine = self.arm(key).timing
        if baseline is None:
            ones = {trial: np.ones_like(seconds) for trial, seconds in mine.seconds.items()}
            return Timing(ones, mine.rounds), mine
        return interleaved(self.arm(baseline).timing, mine)


def ratio(measurements: Measurements, a: Key, b: Key) -> Ratio:
    """Return how many times faster arm `b` is than arm `a`; the Ratio's `method` says how.

    Trials pair up only where Blocks of both arms were interleaved: the same Trial of the same sitting, with a
    round in common. Other arms are compared unpaired. Raises HarnessError where an arm has no Trial.
    """
    if (found := measurements.interleaved_ratio(a, b)) is not None:
        return found
    first, second = (list(measurements.arm(key).timing.seconds.values()) for key in (a, b))
    return unpaired_ratio(first, second)
