"""Measures the Groups of a Run one after the other, Trial by Trial, until all that was asked for is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import Artifact
from harness.runner.experiment.builds import Builds
from harness.runner.experiment.group_progress import GroupProgress, Key
from harness.runner.experiment.interleaving import GroupSchedule, cut_into_parts
from harness.runner.experiment.measurements import History
from harness.runner.experiment.stopping_rule import BASELINE_LOST, Decision, Stop, stopping_rule
from harness.runner.experiment.trial import Arm, LiveTrial, search_path, trial_spec
from harness.runner.plan import Plan, PlannedCell
from harness.runner.progress import Observer
from harness.runner.run.resume import next_order
from harness.stats.planning import WANTED_TRIALS
from harness.store.journal import Event
from harness.suite.matrix import Group

BYTES_EMPTY, TIMES_ARTIFACT = 400_000_000, 3
"""Guess of what a worker needs before it was ever seen: its libraries, and a multiple of the Artifact."""


@dataclass
class GroupRun:
    """Where a Group stands: what was done, what was recorded, who is done."""

    group: Group
    progress: GroupProgress
    history: History
    stopped: set[Key]


class Groups:
    """All Groups of a Run. `record` writes an event to the journal."""

    def __init__(
        self,
        plan: Plan,
        builds: Builds,
        observer: Observer,
        record: Callable[..., Event],
        logs: Path,
        run_id: str = "",
    ) -> None:
        self.run_id = run_id
        self.plan, self.builds, self.observer, self.logs = plan, builds, observer, logs
        self.measure = plan.suite.spec.measure
        self._steering = stopping_rule(self.measure)
        self._record_event = record
        self._current: GroupRun | None = None
        self._expected: dict[str, int] = {}

    def measure_all(
        self, progress: dict[str, GroupProgress], events: list[Event], after_trial: Callable[[], None]
    ) -> None:
        """Measure what is not done yet by the `events` of earlier sessions.

        `after_trial` is called between Trials.
        """
        runs = [
            self._take_up(group, progress[group.group_id], events)
            for group in self.plan.groups
            if self._fit(group)
        ]
        wanted = WANTED_TRIALS if self.measure.trials == "auto" else self.measure.trials
        self._expected = {
            one.group.group_id: max(wanted - one.progress.finished, 0) for one in runs if not self._done(one)
        }
        self.observer.phase("measure", sum(self._expected.values()))
        order = next_order(events)
        for one in runs:
            order = self._measure(one, order, after_trial)

    def _take_up(self, group: Group, progress: GroupProgress, events: list[Event]) -> GroupRun:
        scenarios = {cell.cell_id: cell.workload.scenario for cell in group.cells}
        history = History(scenarios, events, progress.finished)
        mine = [event for event in events if event.get("cell_id") in scenarios]
        stopped = {(e["cell_id"], e["arm"]) for e in mine if e["event"] == "stop"}
        return GroupRun(group, progress, history, stopped)

    def _done(self, one: GroupRun) -> bool:
        return not self._decide(one, self._arms(one)).allotments

    def _measure(self, one: GroupRun, order: int, after_trial: Callable[[], None]) -> int:
        """Measure one Group to its end; return the number of the next Block."""
        self._current = one
        schedule = GroupSchedule(
            self.measure,
            self._start_trial,
            self.observer,
            len(self.plan.place.cores),
            order=order,
            salt=self.run_id,
        )
        began = one.progress.finished
        while True:
            arms = self._arms(one)
            decision = self._decide(one, arms)
            self._keep(one, decision)
            if not decision.allotments:
                break
            self._expect(one, decision, began)
            taking = [arm for arm in arms if arm.key in decision.allotments]
            shared = [arm for arm in taking if arm.kind != "subject"]
            others = [arm for arm in taking if arm.kind == "subject"]
            parts = cut_into_parts(others, shared, partial(self._bytes, one.history))
            for part in parts:
                trial = one.progress.next_trial
                one.progress.next_trial += 1
                self._record("trial-start", group_id=one.group.group_id, trial=trial)
                schedule.run_trial(part, trial, one.progress, decision.allotments)
            one.progress.finished += 1
            one.history.finished += 1
            self._record("trial-done", group_id=one.group.group_id, parts=len(parts))
            after_trial()
            self.observer.done(f"{one.group.name}: Trial {one.progress.finished}{self._of(one, decision)}")
        return schedule.order

    def _arms(self, one: GroupRun) -> list[Arm]:
        """The Group's arms that can be measured: Cells that work, the baseline among them, and its shadow."""
        fit = [p for p in self._fit(one.group) if p.cell.cell_id not in one.progress.failed]
        arms = []
        for planned in fit:
            if planned.cell == one.group.baseline:
                arms += [Arm(planned, "baseline"), Arm(planned, "control")]
            else:
                arms.append(Arm(planned, "subject"))
        return sorted(arms, key=lambda arm: arm.kind == "subject")

    def _decide(self, one: GroupRun, arms: list[Arm]) -> Decision:
        baseline = next((arm.key for arm in arms if arm.kind == "baseline"), None)
        return self._steering.decide(one.history, [arm.key for arm in arms], baseline, one.stopped)

    def _keep(self, one: GroupRun, decision: Decision) -> None:
        """Record who is done and why, once, and the plans of the others."""
        for stop in decision.stops:
            if stop.key not in one.stopped and self._counts(one, stop):
                one.stopped.add(stop.key)
                cell_id, arm = stop.key
                self._record("stop", cell_id=cell_id, arm=arm, reason=stop.reason, halfwidth=stop.halfwidth)
                if stop.reason == BASELINE_LOST:
                    self.observer.notice(f"{one.group.name}: an arm ends early: {stop.reason}")
        for (cell_id, arm), allotment in decision.allotments.items():
            if allotment.planned is not None:
                budget = allotment.planned
                self._record(
                    "plan",
                    cell_id=cell_id,
                    arm=arm,
                    trials=budget.trials,
                    blocks=budget.blocks,
                    expected_halfwidth=budget.expected_halfwidth,
                    reason=budget.reason,
                )

    def _counts(self, one: GroupRun, stop: Stop) -> bool:
        return one.history.arm(stop.key).blocks > 0

    def _expect(self, one: GroupRun, decision: Decision, began: int) -> None:
        """Tell the observer how many Trials there are in all, now that more is known."""
        self._expected[one.group.group_id] = max(decision.trials, one.progress.finished + 1) - began
        self.observer.expect(sum(self._expected.values()))

    def _of(self, one: GroupRun, decision: Decision) -> str:
        about = "about " if self.measure.trials == "auto" else ""
        return f" of {about}{max(decision.trials, one.progress.finished)}"

    def _start_trial(self, arm: Arm, trial: int) -> LiveTrial:
        planned = arm.planned
        data = self.builds.artifacts[self.plan.data_keys[planned.cell.model.name]]
        seed = (self.measure.seed, trial)
        spec = trial_spec(planned, self._artifact(planned).folder, data.folder, self.measure.timeout, seed)
        log = self.logs / f"{planned.cell.cell_id}.log"
        search = search_path(self.plan.suite.folder)
        return LiveTrial(arm, trial, spec, self.measure, log, search, self._record)

    def _record(self, event: str, **content: Any) -> Event:
        entry = self._record_event(event, **content)
        if self._current is not None:
            self._current.history.note(entry)
        return entry

    def _fit(self, group: Group) -> list[PlannedCell]:
        """Cells of the Group whose Artifact and quality data are there."""
        artifacts = self.builds.artifacts
        return [
            p
            for p in self.plan.runnable(group)
            if p.artifact_key in artifacts and self.plan.data_keys[p.cell.model.name] in artifacts
        ]

    def _artifact(self, planned: PlannedCell) -> Artifact:
        return self.builds.artifacts[planned.artifact_key]

    def _bytes(self, history: History, arm: Arm) -> int:
        """Memory that a worker needs: what it was seen to need, else a guess."""
        guess = BYTES_EMPTY + TIMES_ARTIFACT * self._artifact(arm.planned).payload_bytes
        return history.arm(arm.key).peak_bytes or guess * arm.planned.cell.pipeline.replicas
