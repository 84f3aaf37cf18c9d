"""Measures the Groups of a Run one after the other: which arms, where to continue, what to show."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import stopping_rule
from harness.runner.run.experiment import Experiment
from harness.stats.planning import WANTED_TRIALS
from harness.store.journal import Event
from harness.suite.matrix import Group


class Groups:
    """All Groups of a Run, one sitting each. `after_trial` is called between Trials."""

    def __init__(self, experiment: Experiment, run_id: str, after_trial: Callable[[], None]) -> None:
        self.experiment, self.run_id, self.after_trial = experiment, run_id, after_trial
        self._settings = experiment.plan.suite.spec.measure
        self._expected: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def measure_all(self, events: list[Event]) -> None:
        """Measure what the `events` of earlier sessions do not hold yet."""
        rule, orders = stopping_rule(self._settings), count(next_order(events))
        wanted = WANTED_TRIALS if self._settings.trials == "auto" else self._settings.trials
        sittings = []
        for group in self.experiment.plan.groups:
            arms = self.experiment.arms(group)
            name = f"{self.run_id}/{group.group_id}"
            known = Measurements(name, events)
            record = partial(self._record, group)
            sitting = self.experiment.sitting(name, measurements=known, orders=orders, record=record)
            sittings.append((sitting, arms))
            self._before[group.group_id] = known.finished
            if sitting.decide(arms, rule).allotments:
                self._expected[group.group_id] = max(wanted - known.finished, 0)
        self.experiment.observer.phase("measure", sum(self._expected.values()))
        for sitting, arms in sittings:
            sitting.measure(arms, rule)

    def _record(self, group: Group, event: str, **content: Any) -> Event:
        """Journal an event of a Group's sitting, and show how far the Group is."""
        entry = self.experiment.record(event, **content)
        observer = self.experiment.observer
        if event == "trial-start":
            self._expected[group.group_id] = content["expected"] - self._before[group.group_id]
            observer.expect(sum(self._expected.values()))
        elif event == "trial-done" and content["part"] == content["parts"]:
            self.after_trial()
            about = "about " if self._settings.trials == "auto" else ""
            total = max(self._expected[group.group_id] + self._before[group.group_id], content["finished"])
            observer.done(f"{group.name}: Trial {content['finished']} of {about}{total}")
        return entry


def next_order(events: list[Event]) -> int:
    """Return the number of the next Block in the Run's sequence."""
    return max((event["order"] for event in events if event["event"] == "block"), default=-1) + 1
