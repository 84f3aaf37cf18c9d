"""A Run on this machine, from a checked suite to a folder under `results/`."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.artifacts.cache import Cache
from harness.devices import cuda
from harness.devices.cores import cores
from harness.devices.fingerprint import Machine, fingerprint
from harness.devices.host import Host
from harness.environment import withheld_notice
from harness.errors import ExitCode, StoreError
from harness.files import make_writable
from harness.runner.identity import artifact_digest, cell_digests
from harness.runner.place import Place
from harness.runner.plan import Plan, make_plan
from harness.runner.progress import Observer
from harness.runner.run.concurrent_runs import Others, announced
from harness.runner.run.peaks import doubted_budgets, find_peaks
from harness.runner.run.provenance import (
    describe_cell,
    describe_run,
    find_repositories,
    harness_digest,
    versions,
)
from harness.runner.run.resume import (
    began,
    refuse_other_cells,
    refuse_other_commits,
    refuse_other_identity,
    refuse_other_libraries,
)
from harness.runner.workers.evaluation_data import read_notes
from harness.runner.workers.inspect import Inspector
from harness.store.info import RunInfo
from harness.store.journal import Event, Journal, read_journal
from harness.suite.validation import CheckedSuite

if TYPE_CHECKING:
    from harness.runner.experiment.losers import Contenders
    from harness.runner.run.experiment import Experiment

PARTIAL = ".partial"


def this_place() -> tuple[Place, Machine]:
    """Inspect this machine. Call it before anything is pinned to a core."""
    machine, given = fingerprint(), cores(Host())
    place = Place(
        cores=given.ids,
        cuda_missing=cuda.available(),
        cpu_features=frozenset(machine.identity.isa),
        machine_id=machine.id,
        cuda_capability=cuda.capability(),
        nodes=given.nodes,
    )
    return place, machine


def plan_here(suite: CheckedSuite) -> tuple[Plan, Machine]:
    """Plan a suite for this machine."""
    place, machine = this_place()
    with Inspector(Cache().root, suite.folder) as inspector:
        return make_plan(suite, place, inspector), machine


@dataclass
class Outcome:
    """The result of a Run: its folder, and how many Cells were measured, failed and skipped."""

    folder: Path
    measured: int
    failed: int
    skipped: int

    @property
    def exit_code(self) -> ExitCode:
        """The exit status for these counts."""
        if self.measured == 0:
            return ExitCode.NOTHING_MEASURED
        return ExitCode.SOME_FAILED if self.failed else ExitCode.OK


class LocalRun:
    """One Run. `folder` holds it while it is being measured; a complete Run gets its final name.

    After `time_s` seconds no Trial is started; `given_up` says what was given up to fit into them. After
    `build_s` seconds only what the baselines need is built. `contenders` tells from a Run as it stands which
    Cells may win; those that certainly lose against them are stopped (experiment/losers.py), and where the
    time is too short, the least likely winners are given up (experiment/short_time.py).
    """

    def __init__(
        self,
        plan: Plan,
        machine: Machine,
        results: Path,
        cache: Cache,
        observer: Observer,
        command: str,
        time_s: float = math.inf,
        given_up: str = "",
        build_s: float = math.inf,
        contenders: Callable[[Path, RunInfo, list[Event]], Contenders] | None = None,
    ) -> None:
        self.build_s, self.contenders = build_s, contenders
        self.plan, self.machine, self.cache, self.observer = plan, machine, cache, observer
        self.suite, self.results = plan.suite, results
        self.place = results / self.suite.spec.suite / machine.slug
        self.command, self.time_s, self.given_up = command, time_s, given_up
        self.events: list[Event] = []

    def start(self) -> RunInfo:
        """Begin a new Run. Raises StoreError where its folder cannot be written."""
        make_writable(self.results, "the folder of Runs", "name another one with --results")
        info = describe_run(self.plan, self.machine, self.command)
        started = datetime.fromisoformat(info.started_at)
        name = f"{started:%Y%m%dT%H%M%SZ}-{info.commit.hash[:8] if info.commit else 'nogit'}-{info.run_id}"
        self.folder = self.place / f"{name}{PARTIAL}"
        return info

    def resume(self) -> RunInfo:
        """Continue the newest unfinished Run of this suite. Raises StoreError when there is none."""
        found = sorted(self.place.glob(f"*{PARTIAL}"))
        for folder in reversed(found):
            events = read_journal(folder)
            info = began(folder, events)
            if info is not None and info.suite_sha256 == self.suite.sha256:
                refuse_other_cells(self.plan, folder, events)
                refuse_other_libraries(info, folder, versions(self.plan))
                refuse_other_commits(info, folder, find_repositories(self.plan), harness_digest())
                refuse_other_identity(self.plan, folder, events)
                self.folder, self.events = folder, events
                return info
        changed = ": the suite has changed since, or --time gave some of it up" if found else ""
        raise StoreError(f"no unfinished Run of {self.suite.spec.suite!r} to resume in {self.place}{changed}")

    def run(self, info: RunInfo, finish: Callable[[Path, RunInfo, list[Event]], Outcome]) -> Outcome:
        """Build and measure all that is not done yet; `finish` turns the journal into the Run's tables."""
        journal = Journal(self.folder, self.events)
        started = time.monotonic()
        try:
            with announced():
                self._measure_all(info, journal)
        except BaseException:
            with contextlib.suppress(StoreError):
                journal.append("wall", seconds=time.monotonic() - started)
            journal.close()
            if not any(event["event"] == "block" for event in self.events):  # nothing was measured
                shutil.rmtree(self.folder, ignore_errors=True)
            raise
        journal.append("wall", seconds=time.monotonic() - started)
        journal.close()
        return finish(self.folder, info, self.events)

    def _measure_all(self, info: RunInfo, journal: Journal) -> None:
        # These need pandas, which a dry run does not.
        from harness.runner.experiment.losers import WithoutLosers
        from harness.runner.experiment.short_time import ShortTime
        from harness.runner.experiment.stopping_rule import StoppingRule, stopping_rule
        from harness.runner.run.experiment import Experiment, Groups
        from harness.runner.run.time_budget import TIME_USED, Until

        record, deadline = journal.append, time.monotonic() + self.time_s
        self._record_plan(info, record)
        record("session", start_ns=time.perf_counter_ns())
        if self.given_up:
            record("notice", text=self.given_up)
        others = Others(record, self.observer)
        others.report()
        if notice := withheld_notice(os.environ):
            record("notice", text=notice)
        known, started = list(self.events), time.monotonic()
        experiment = Experiment(self.plan, self.cache, record, self.observer, self.folder / "logs")
        experiment.build_until(started + self.build_s)
        record("builds-done", seconds=time.monotonic() - started)
        self._record_artifacts(experiment)
        self._record_peaks(record)

        def after_trial() -> None:
            others.report()
            journal.sync()

        planned: StoppingRule = stopping_rule(self.plan.suite.spec.measure)
        if self.contenders is not None:
            ask = partial(self.contenders, self.folder, info, self.events)
            planned = ShortTime(WithoutLosers(planned, ask), deadline, ask)
        rule = Until(planned, deadline)
        Groups(experiment, info.run_id, after_trial, rule).measure_all(known)
        if rule.ended:
            record("notice", text=f"{TIME_USED}: Cells have fewer Trials than planned, or none")
        if doubted := doubted_budgets(self.events, info):
            self._record_peaks(record, doubted)

    def _record_plan(self, info: RunInfo, record: Callable[..., Event]) -> None:
        """Record what the Run is and its Cells, as far as the journal lacks them."""
        known = {event["cell_id"] for event in self.events if event["event"] == "cell"}
        if not self.events:
            record("run", info=info.model_dump(mode="json"))
        for group in self.plan.groups:
            for planned in (self.plan.cells[cell.cell_id] for cell in group.cells):
                cell_id = planned.cell.cell_id
                if cell_id not in known:
                    row = describe_cell(planned, group) | cell_digests(planned, self.plan)
                    row["warnings"] = self.plan.inspections.get(planned.cell.model.name, {}).get(
                        "notices", []
                    )
                    record("cell", cell_id=cell_id, row=row)

    def _record_peaks(self, record: Callable[..., Event], again: Collection[int] | None = None) -> None:
        """Find the peaks. Thread budgets in `again`, whose peaks a Record exceeds, are measured again."""
        for peaks in find_peaks(self.plan, self.cache, self.observer, self.folder / "logs", again):
            record("peaks", **peaks)

    def _record_artifacts(self, experiment: Experiment) -> None:
        """Record each Cell's Artifact, or why it has none."""
        for cell_id, planned in self.plan.cells.items():
            if planned.skip is not None:
                continue
            if failure := experiment.failure(planned):
                reason, log = failure
                experiment.record("cell-failed", cell_id=cell_id, stage="build", reason=reason, log=log)
                continue
            built = experiment.builds.artifacts
            artifact = built[planned.artifact_key]
            experiment.record(
                "artifact",
                cell_id=cell_id,
                key=artifact.key,
                source_key=self.plan.source_key(planned.cell.model),
                data_key=self.plan.data_keys[planned.cell.model.name],
                content_digest=artifact_digest(planned, artifact),
                format=artifact.format,
                bytes=artifact.payload_bytes,
                zstd_bytes=artifact.zstd_bytes,
                build_s=artifact.build_s,
                build_peak_rss_bytes=artifact.build_peak_rss_bytes,
                steps=artifact.steps,
                warnings=artifact.warnings,
                statistics=artifact.statistics,
                data=read_notes(built[self.plan.data_keys[planned.cell.model.name]].folder),
            )
