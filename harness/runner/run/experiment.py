"""An experiment: a Plan that can grow, its builds and Arms; and how a Run measures all its Groups with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.sitting import Sitting
from harness.runner.experiment.stopping_rule import StoppingRule
from harness.runner.experiment.trial import Arm, Role
from harness.runner.plan import Plan, PlannedCell
from harness.runner.progress import Observer
from harness.runner.run.builds import Builds
from harness.runner.workers.launch import Code
from harness.store.journal import Event
from harness.suite.matrix import Cell, Group

BASELINE_ROLES: tuple[Role, ...] = ("baseline", "control")


class Experiment:
    """Builds and measures the Cells of a Plan, all at once or some at a time; the Plan can grow meanwhile.

    `record` writes an event to the journal and returns it; `logs` is the folder of the workers' logs.
    """

    def __init__(
        self, plan: Plan, cache: Cache, record: Callable[..., Event], observer: Observer, logs: Path
    ) -> None:
        self.plan, self.record, self.observer, self.logs = plan, record, observer, logs
        self.builds = Builds(plan, cache, record, observer, logs)

    def build(self, cells: Iterable[Cell] | None = None) -> None:
        """Build what is missing for `cells`, by default for the whole Plan; skipped Cells need nothing."""
        planned = None if cells is None else [self.plan.cells[cell.cell_id] for cell in cells]
        keys = self.plan.jobs if planned is None else dict.fromkeys(k for p in planned for k in self._keys(p))
        self.builds.build(keys)

    def build_until(self, deadline: float) -> None:
        """Build the Plan; after `deadline` (a time of `time.monotonic`) only what the baselines need."""
        baselines = [group.baseline for group in self.plan.groups if group.baseline is not None]
        needed = (key for cell in baselines for key in self._keys(self.plan.cells[cell.cell_id]))
        self.builds.deadline, self.builds.needed = deadline, frozenset(needed)
        self.build()

    def failure(self, planned: PlannedCell) -> tuple[str, str] | None:
        """Return why a Cell could not be built, and the log's name; None where it was built."""
        return self.builds.failure(self._keys(planned))

    def arm(self, cell: Cell, role: Role = "subject", **changes: Any) -> Arm:
        """Return the Arm that measures a built Cell; `changes` are fields that differ, such as `slowdown`."""
        planned, pipeline = self.plan.cells[cell.cell_id], cell.pipeline
        artifacts, deployment = self.builds.artifacts, pipeline.deployment
        content: dict[str, Any] = {
            "id": cell.cell_id,
            "role": role,
            "title": f"{cell.name} (control)" if role == "control" else cell.name,
            "code": Code.here(self.plan.suite.folder),
            "artifact": artifacts[planned.artifact_key],
            "data": artifacts[self.plan.data_keys[cell.model.name]].folder,
            "log": self.logs / f"{cell.cell_id}.log",
            "target": planned.target,
            "workload": cell.workload.model_dump(mode="json"),
            "runtime": (pipeline.runtime.name, pipeline.runtime_config.model_dump(mode="json")),
            "replicas": pipeline.replicas,
            "evaluation": self.plan.suite.spec.quality.model_dump(include={"batch", "samples", "time"})
            | {"folder": str(self.plan.suite.folder)},
        }
        if deployment and pipeline.deployment_config:
            config = pipeline.deployment_config.model_dump(mode="json")
            content["deployment"] = (deployment.family, config)
        return Arm(**content | changes)

    def arms(self, group: Group) -> list[Arm]:
        """Return the Group's arms that can be measured, the baseline and its control first."""
        cells = [planned.cell for planned in self.plan.runnable(group) if self._is_built(planned)]
        first = [self.arm(cell, role) for cell in cells if cell == group.baseline for role in BASELINE_ROLES]
        return [*first, *(self.arm(cell) for cell in cells if cell != group.baseline)]

    def sitting(self, key: str, **options: Any) -> Sitting:
        """Return a sitting with the suite's settings; `options` are those of Sitting."""
        defaults: dict[str, Any] = {
            "settings": self.plan.suite.spec.measure,
            "record": self.record,
            "observer": self.observer,
            "cores": len(self.plan.place.cores),
        }
        return Sitting(key, **defaults | options)

    def _keys(self, planned: PlannedCell) -> list[str]:
        """Return the addresses of all that a Cell needs, parents first."""
        jobs = [job.key for job in planned.jobs]
        return [*jobs, self.plan.data_keys[planned.cell.model.name]] if jobs else []

    def _is_built(self, planned: PlannedCell) -> bool:
        return all(key in self.builds.artifacts for key in self._keys(planned)[-2:])


class Groups:
    """All Groups of a Run, one sitting each. `after_trial` is called between Trials, `rule` ends them."""

    def __init__(
        self, experiment: Experiment, run_id: str, after_trial: Callable[[], None], rule: StoppingRule
    ) -> None:
        self.experiment, self.run_id, self.after_trial, self.rule = experiment, run_id, after_trial, rule
        self._settings = experiment.plan.suite.spec.measure
        self._expected: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def measure_all(self, events: list[Event]) -> None:
        """Measure what the `events` of earlier sessions do not hold yet."""
        rule, orders = self.rule, count(next_order(events))
        sittings = []
        for group in self.experiment.plan.groups:
            arms = self.experiment.arms(group)
            name = f"{self.run_id}/{group.group_id}"
            known = Measurements(name, events)
            record = partial(self._record, group)
            sitting = self.experiment.sitting(name, measurements=known, orders=orders, record=record)
            sittings.append((sitting, arms))
            self._before[group.group_id] = known.finished
            if (decision := sitting.decide(arms, rule)).allotments:
                self._expected[group.group_id] = decision.trials - known.finished
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
        elif event == "notice":
            observer.notice(content["text"])
        elif event == "trial-done" and content["part"] == content["parts"]:
            self.after_trial()
            about = "about " if self._settings.trials == "auto" else ""
            total = max(self._expected[group.group_id] + self._before[group.group_id], content["finished"])
            observer.done(f"{group.name}: Trial {content['finished']} of {about}{total}")
        return entry


def next_order(events: list[Event]) -> int:
    """Return the number of the next Block in the Run's sequence."""
    return max((event["order"] for event in events if event["event"] == "block"), default=-1) + 1
