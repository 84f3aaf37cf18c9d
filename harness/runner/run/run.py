"""A Run on this machine, from a checked suite to a folder under `results/`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache
from harness.devices import cuda
from harness.devices.doctor import examine
from harness.devices.fingerprint import Machine, cores_given, fingerprint
from harness.errors import ExitCode, StoreError
from harness.measure.scenarios.registry import SCENARIOS
from harness.packages import package_version, versions_of
from harness.runner.experiment.builds import Builds, build_all
from harness.runner.identity import artifact_digest, cell_digests, speed_variables
from harness.runner.plan import Place, Plan, PlannedCell, make_plan
from harness.runner.progress import Observer
from harness.runner.run.concurrent_runs import announced, others
from harness.runner.run.peaks import doubted_budgets, find_peaks
from harness.runner.run.provenance import current_commit
from harness.runner.run.resume import (
    began,
    progress_of,
    refuse_other_artifacts,
    refuse_other_cells,
    refuse_other_libraries,
)
from harness.runner.workers.inspect import Inspector
from harness.store.info import GroupInfo, RunInfo
from harness.store.journal import Event, Journal, read_journal
from harness.suite.matrix import Group
from harness.suite.validation import CheckedSuite

PARTIAL = ".partial"
DISTURBED = (
    "another Run of the harness is going on on this machine (process {pids}): "
    "both disturb each other, and the figures of both are doubtful"
)


def this_place() -> tuple[Place, Machine]:
    """Look at this machine. Must be called before anything is pinned."""
    machine = fingerprint()
    place = Place(
        cores=cores_given(),
        cuda_missing=cuda.available(),
        cpu_features=frozenset(machine.identity.isa),
        machine_id=machine.id,
        cuda_capability=cuda.capability(),
    )
    return place, machine


def plan_here(suite: CheckedSuite) -> tuple[Plan, Machine]:
    """Plan a suite for this machine."""
    place, machine = this_place()
    with Inspector(Cache().root, suite.folder) as inspector:
        return make_plan(suite, place, inspector), machine


@dataclass
class Outcome:
    """What `run` came to: the Run's folder, and how many Cells were measured, failed and skipped."""

    folder: Path
    measured: int
    failed: int
    skipped: int

    @property
    def exit_code(self) -> ExitCode:
        """Exit status that says so."""
        if self.measured == 0:
            return ExitCode.NOTHING_MEASURED
        return ExitCode.SOME_FAILED if self.failed else ExitCode.OK


class LocalRun:
    """One Run. `folder` is where it grows; it gets its final name when it is complete."""

    def __init__(
        self, plan: Plan, machine: Machine, results: Path, cache: Cache, observer: Observer, command: str
    ) -> None:
        self.plan, self.machine, self.cache, self.observer = plan, machine, cache, observer
        self.suite = plan.suite
        self.place = results / self.suite.spec.suite / machine.slug
        self.command = command
        self.events: list[Event] = []

    def start(self) -> RunInfo:
        """Begin a new Run."""
        commit = current_commit(Path.cwd())
        now = datetime.now(UTC)
        run_id = secrets.token_hex(3)
        name = f"{now:%Y%m%dT%H%M%SZ}-{commit.hash[:8] if commit else 'nogit'}-{run_id}"
        self.folder = self.place / f"{name}{PARTIAL}"
        spec = self.suite.spec
        return RunInfo(
            harness_version=package_version("accel-harness"),
            run_id=run_id,
            suite=spec.suite,
            suite_file=self.suite.path.name,
            suite_text=self.suite.text,
            suite_sha256=self.suite.sha256,
            started_at=now.isoformat(timespec="seconds"),
            commit=commit,
            machine=self.machine.to_dict(),
            doctor=[finding.to_dict() for finding in examine()],
            versions=_versions(self.plan),
            environment=speed_variables(os.environ),
            seed=spec.measure.seed,
            settings=spec.measure.model_dump(mode="json"),
            quality=spec.quality.model_dump(mode="json"),
            groups=[_group_info(self.plan, group) for group in self.plan.groups],
            command=self.command,  # type: ignore[call-arg]  # kept with the fields of other versions
        )

    def resume(self) -> RunInfo:
        """Take up the newest unfinished Run of this suite. Raises StoreError when there is none."""
        found = sorted(self.place.glob(f"*{PARTIAL}"))
        for folder in reversed(found):
            events = read_journal(folder)
            info = began(folder, events)
            if info is not None and info.suite_sha256 == self.suite.sha256:
                refuse_other_cells(self.plan, folder, events)
                refuse_other_artifacts(self.plan, folder, events)
                refuse_other_libraries(info, folder, _versions(self.plan))
                self.folder, self.events = folder, events
                return info
        changed = ": the suite was changed since" if found else ""
        raise StoreError(f"no unfinished Run of {self.suite.spec.suite!r} to resume in {self.place}{changed}")

    def run(self, info: RunInfo, finish: Callable[[Path, RunInfo, list[Event]], Outcome]) -> Outcome:
        """Build and measure all that is not done yet; `finish` turns the journal into the Run's tables."""
        journal = Journal(self.folder)
        started = time.monotonic()
        try:
            with announced():
                self._measure_all(info, journal)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._record(journal, "wall", seconds=time.monotonic() - started)
            journal.close()
            self._drop_if_empty()
            raise
        self._record(journal, "wall", seconds=time.monotonic() - started)
        journal.close()
        return finish(self.folder, info, self.events)

    def _measure_all(self, info: RunInfo, journal: Journal) -> None:
        from harness.runner.run.groups import Groups  # brings pandas, which a dry run does not need

        record = partial(self._record, journal)
        if not self.events:
            record("run", info=info.model_dump(mode="json"))
            for group in self.plan.groups:
                for cell in group.cells:
                    planned = self.plan.cells[cell.cell_id]
                    row = describe_cell(planned, group) | cell_digests(planned, self.plan)
                    record("cell", cell_id=cell.cell_id, row=row)
        record("session", start_ns=time.perf_counter_ns())
        self._watch_concurrent_runs(record)
        started = time.monotonic()
        builds = build_all(self.plan, self.cache, journal, self.observer, self.folder / "logs")
        self._record_builds(builds, record, time.monotonic() - started)
        self._record_peaks(record)
        groups = Groups(self.plan, builds, self.observer, record, self.folder / "logs", info.run_id)

        def after_trial() -> None:
            self._watch_concurrent_runs(record)
            journal.sync()

        groups.measure_all(progress_of(self.plan, self.events), list(self.events), after_trial)
        if doubted := doubted_budgets(self.events, info):
            self._record_peaks(record, doubted)

    def _record_peaks(self, record: Callable[..., Event], again: Collection[int] | None = None) -> None:
        """Find the roofs; those that a Record exceeds are measured `again` before they accuse it."""
        for peaks in find_peaks(self.plan, self.cache, self.observer, self.folder / "logs", again):
            record("peaks", **peaks)

    def _record_builds(self, builds: Builds, record: Callable[..., Event], seconds: float) -> None:
        record("builds-done", seconds=seconds)
        for planned in self.plan.cells.values():
            if planned.skip is not None:
                continue
            keys = [*(job.key for job in planned.jobs), self.plan.data_keys[planned.cell.model.name]]
            if failure := builds.failure(keys):
                reason, log = failure
                record("cell-failed", cell_id=planned.cell.cell_id, stage="build", reason=reason, log=log)
                continue
            artifact = builds.artifacts[planned.artifact_key]
            record(
                "artifact",
                cell_id=planned.cell.cell_id,
                key=artifact.key,
                content_digest=artifact_digest(planned, artifact),
                format=artifact.format,
                bytes=artifact.payload_bytes,
                build_s=artifact.build_s,
                build_peak_rss_bytes=artifact.build_peak_rss_bytes,
                steps=artifact.steps,
                statistics=artifact.statistics,
            )

    def _watch_concurrent_runs(self, record: Callable[..., Event]) -> None:
        pids = others()
        if pids:
            text = DISTURBED.format(pids=", ".join(map(str, pids)))
            record("notice", text=text)
            self.observer.notice(text)

    def _record(self, journal: Journal, event: str, **content: Any) -> Event:
        entry = journal.append(event, **content)
        self.events.append(entry)
        return entry

    def _drop_if_empty(self) -> None:
        """A Run that never measured a Block leaves nothing worth keeping."""
        if not any(event["event"] in ("block", "quality") for event in self.events):
            shutil.rmtree(self.folder, ignore_errors=True)


def _versions(plan: Plan) -> dict[str, str]:
    """Versions of all libraries that the Plan's Cells are built or run with."""
    names = {"numpy", "torch", "onnxruntime", "onnx"}
    for planned in plan.cells.values():
        names.update(planned.cell.pipeline.runtime.packages)
        names.update(SCENARIOS.get(planned.cell.workload.scenario).packages)
        for job in planned.jobs:
            names.update(job.stage.step.packages if job.stage else ())
    return versions_of(tuple(names))


def _group_info(plan: Plan, group: Group) -> GroupInfo:
    cell = group.cells[0]
    target = plan.cells[cell.cell_id].target
    return GroupInfo(
        group_id=group.group_id,
        model=cell.model.name,
        workload=cell.workload_name,
        hardware=cell.hardware_name,
        scenario=cell.workload.scenario,
        options=cell.workload.model_dump(mode="json"),
        speed=cell.workload.speed(),
        conditions=cell.workload.conditions(),
        call=cell.workload.timed_call(),
        batch=cell.workload.batch,
        device=target.device,
        threads=target.threads,
        baseline=group.baseline.cell_id if group.baseline else "",
    )


def describe_cell(planned: PlannedCell, group: Group) -> dict[str, Any]:
    """The columns of a Record that are known before anything is built (store/schema.py)."""
    cell, pipeline = planned.cell, planned.cell.pipeline
    return {
        "cell_id": cell.cell_id,
        "group_id": cell.group_id,
        "model": cell.model.name,
        "technique": pipeline.name,
        "workload": cell.workload_name,
        "hardware": cell.hardware_name,
        "families": pipeline.families,
        "runtime": pipeline.runtime.name,
        "runtime_compute_dtype": pipeline.runtime.compute_dtype(pipeline.runtime_config),
        "pipeline": json.dumps(pipeline.settings()),
        "scenario": cell.workload.scenario,
        "batch": cell.workload.batch,
        "tokens_per_sample": cell.model.source.tokens(cell.model.config),
        "device": planned.target.device,
        "threads": planned.target.threads,
        "replicas": pipeline.replicas,
        "arm": "baseline" if group.baseline == cell else "subject",
        "status": "skipped" if planned.skip else "pending",
        "reason": planned.skip,
    }
