"""`harness noise`: many experiments with each Group's baseline, each recorded in a folder when it ends.

The folder holds a journal (store/journal.py) and the workers' logs. The same command continues where it
stopped; an interrupted experiment is made again. Verdicts are not stored: they follow from the Trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.noise_study.power import BASELINE
from harness.analysis.noise_study.power import Experiment as Timed
from harness.artifacts.cache import Cache
from harness.devices.fingerprint import Machine
from harness.errors import HarnessError, StoreError, WorkerError
from harness.packages import versions_of
from harness.runner.noise_study.experiments import Experiments
from harness.runner.plan import Plan, PlannedCell
from harness.runner.progress import Observer
from harness.runner.run.concurrent_runs import Others, announced
from harness.runner.run.experiment import Experiment
from harness.runner.run.provenance import find_repositories, harness_digest
from harness.store.journal import FILE, Event, Journal, read_journal
from harness.suite.matrix import Cell, Group
from harness.suite.schema import Measure


@dataclass(frozen=True)
class Baselines:
    """A Plan with the Groups' baselines only, also by Group; `skipped` has the reason by Group's name."""

    plan: Plan
    cells: dict[str, PlannedCell]
    skipped: dict[str, str]


def baselines_of(plan: Plan) -> Baselines:
    """Keep each Group's baseline, if it can run here and its calls can be slowed down."""
    cells: dict[str, PlannedCell] = {}
    skipped: dict[str, str] = {}
    groups: list[Group] = []
    for group in plan.groups:
        if group.baseline is None:
            skipped[group.name] = "its baseline is excluded"
            continue
        planned = plan.cells[group.baseline.cell_id]
        if reason := planned.skip or _unfit(group.baseline):
            skipped[group.name] = reason
            continue
        cells[group.group_id] = planned
        groups.append(Group(group.group_id, (group.baseline,), group.baseline))
    models = {planned.cell.model.name for planned in cells.values()}
    data_keys = {name: key for name, key in plan.data_keys.items() if name in models}
    needed = {job.key for planned in cells.values() for job in planned.jobs} | set(data_keys.values())
    jobs = {key: job for key, job in plan.jobs.items() if key in needed}
    own = {planned.cell.cell_id: planned for planned in cells.values()}
    return Baselines(Plan(plan.suite, plan.place, groups, own, jobs, data_keys), cells, skipped)


def _unfit(baseline: Cell) -> str | None:
    """Return why no slow-down of a known size can be injected; None where it can."""
    if baseline.pipeline.deployment:
        return "a slow-down cannot be injected into replicas"
    if not baseline.workload.follows_calls():
        scenario = baseline.workload.scenario
        return f"in {scenario} a call that takes 1 % longer changes the figure by another share"
    return None


class NoiseRun:
    """A Suite's experiments in the folder `out`; `effects` are the candidates (`experiments.arms_for`).

    `failed` are the reasons of Groups that cannot be measured, by Group.
    """

    def __init__(
        self,
        baselines: Baselines,
        machine: Machine,
        measure: Measure,
        effects: dict[str, float],
        out: Path,
        cache: Cache,
        observer: Observer,
    ) -> None:
        self.baselines, self.machine, self.measure = baselines, machine, measure
        self.effects, self.out, self.cache, self.observer = effects, out, cache, observer
        self.events = read_journal(out) if (out / FILE).is_file() else []
        self.failed: dict[str, str] = {}
        self._refuse_other()

    def run(self, count: int) -> None:
        """Make experiments until there are `count` of each Group. Raises StoreError when it cannot write."""
        todo = [
            (number, group)
            for number in range(count)
            for group in self.baselines.cells
            if number not in self._done(group)
        ]
        if not todo:
            return
        journal = Journal(self.out, self.events)
        try:
            with announced():
                self._run(journal, todo)
        finally:
            journal.close()

    def experiments(self) -> dict[str, list[Timed]]:
        """Return the whole experiments so far, by Group."""
        return {group: read_experiments(self.events, group) for group in self.baselines.cells}

    def _run(self, journal: Journal, todo: list[tuple[int, str]]) -> None:
        record = journal.append
        if not self.events:
            found = [repository.model_dump() for repository in find_repositories(self.baselines.plan)]
            record("noise", settings=self._settings(), repositories=found)
        plan, observer = self.baselines.plan, self.observer
        experiment = Experiment(plan, self.cache, record, observer, self.out / "logs")
        experiment.build()
        makers = self._makers(experiment)
        observer.phase("noise", len(todo))
        others = Others(record, observer)
        for number, group in todo:
            if group not in makers or group in self.failed:
                continue
            others.report()
            try:
                makers[group].make(number)
            except WorkerError as error:
                self._fail(group, str(error), record)
            journal.sync()

    def _makers(self, experiment: Experiment) -> dict[str, Experiments]:
        makers = {}
        for group, planned in self.baselines.cells.items():
            if failure := experiment.failure(planned):
                self._fail(group, failure[0], experiment.record)
            else:
                makers[group] = Experiments(experiment, planned.cell, self.effects, self.measure)
        return makers

    def _fail(self, group: str, reason: str, record: Callable[..., Event]) -> None:
        self.failed[group] = reason
        record("group-failed", group_id=group, reason=reason)
        self.observer.notice(reason)

    def _done(self, group: str) -> set[int]:
        return {e["experiment"] for e in self.events if e["event"] == "experiment" and e["group_id"] == group}

    def _settings(self) -> dict[str, Any]:
        """Return what experiments must have in common to be pooled."""
        return {
            "suite": self.baselines.plan.suite.spec.suite,
            "machine": self.machine.id,
            "harness's code": harness_digest(),
            "effects": self.effects,
            "measure": self.measure.model_dump(mode="json"),
            "versions": versions_of(
                name for p in self.baselines.cells.values() for name in p.cell.pipeline.runtime.packages
            ),
            "artifacts": {group: planned.artifact_key for group, planned in self.baselines.cells.items()},
        }

    def _refuse_other(self) -> None:
        if not self.events:
            return
        settings = self._settings()
        found = self.events[0].get("settings")
        if self.events[0]["event"] != "noise" or not isinstance(found, dict):
            raise StoreError(f"{self.out} holds another kind of journal; name another folder with --out")
        if odd := [name for name, value in settings.items() if found.get(name) != value]:
            raise HarnessError(
                f"{self.out} holds experiments with another {', '.join(odd)}, which cannot be pooled "
                "with these: name another folder with --out"
            )


def read_experiments(events: list[Event], group: str) -> list[Timed]:
    """Return the Group's whole experiments; of one that was started twice, the Trials of the second start."""
    whole: list[Timed] = []
    parts: dict[int, Timed] = {}
    for event in events:
        if event.get("group_id") != group:
            continue
        number = event.get("experiment", -1)
        if event["event"] == "noise-trial":
            if event["trial"] == 0:
                parts[number] = Timed()
            took = {"timed_s": event["timed_s"].get(BASELINE, 0.0), "wall_s": event["wall_s"]}
            arms = {name: (rounds, seconds) for name, (rounds, seconds) in event["arms"].items()}
            parts.setdefault(number, Timed()).add((str(number), event["trial"]), arms, **took)
        elif event["event"] == "experiment":
            whole.append(parts.pop(number, Timed()))
    return whole
