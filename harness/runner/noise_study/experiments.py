"""One experiment of `harness noise`: a comparison of a baseline with copies of itself whose truth is known.

Measured as a Run measures a Group: the same workers, schedule and steering. The arms are the baseline, its
shadow, an identical copy, and copies with a slow-down injected, all interleaved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from harness.analysis.noise_study.power import BASELINE, CONTROL
from harness.errors import WorkerError
from harness.runner.experiment.builds import Builds
from harness.runner.experiment.group_progress import GroupProgress
from harness.runner.experiment.interleaving import GroupSchedule, cut_into_parts
from harness.runner.experiment.measurements import History
from harness.runner.experiment.stopping_rule import stopping_rule
from harness.runner.experiment.trial import Arm, LiveTrial, search_path, trial_spec
from harness.runner.plan import Plan, PlannedCell
from harness.runner.progress import Observer
from harness.runner.run.groups import BYTES_EMPTY, TIMES_ARTIFACT
from harness.store.journal import Event
from harness.suite.schema import Measure

IDENTICAL = "identical"


def arms_for(effects: Iterable[float]) -> dict[str, float]:
    """Name the candidates: an identical copy, and one for each slow-down (a share); name → slow-down."""
    return {IDENTICAL: 0.0, **{f"{100 * effect:.6g}% slower": effect for effect in effects}}


class Experiments:
    """Makes experiments with one baseline. `record` writes an event to the journal."""

    def __init__(
        self,
        plan: Plan,
        planned: PlannedCell,
        builds: Builds,
        effects: dict[str, float],
        measure: Measure,
        observer: Observer,
        record: Callable[..., Event],
        logs: Path,
    ) -> None:
        self.plan, self.planned, self.builds, self.effects = plan, planned, builds, effects
        self.measure, self.observer, self.record, self.logs = measure, observer, record, logs
        self._arms = [Arm(planned, kind) for kind in (BASELINE, CONTROL, *effects)]
        self._waits_ns: dict[tuple[str, int], int] = {}

    def make(self, number: int) -> None:
        """Make one experiment and record each of its Trials. Raises WorkerError when an arm cannot run."""
        cell = self.planned.cell
        history = History({cell.cell_id: cell.workload.scenario})
        progress = GroupProgress(evaluated={cell.cell_id})  # quality is not asked for
        measure = self.measure.model_copy(update={"seed": self.measure.seed + number})
        schedule = GroupSchedule(
            measure, partial(self._start, history), self.observer, len(self.plan.place.cores)
        )
        rule = stopping_rule(measure)
        began = time.monotonic()
        while True:
            decision = rule.decide(history, [arm.key for arm in self._arms], self._arms[0].key)
            if not decision.allotments:
                break
            taking = [arm for arm in self._arms if arm.key in decision.allotments]
            for part in cut_into_parts(taking[2:], taking[:2], partial(self._bytes, history)):
                trial, trial_began = progress.next_trial, time.monotonic()
                progress.next_trial += 1
                before_s = {arm.kind: history.arm(arm.key).timed_s for arm in part}
                schedule.run_trial(part, trial, progress, decision.allotments)
                if progress.failed:
                    raise WorkerError(f"{cell.name}: a worker timed nothing; see {self._log}")
                self._keep(history, part, number, trial, before_s, time.monotonic() - trial_began)
            history.finished += 1
        self.record(
            "experiment",
            group_id=cell.group_id,
            experiment=number,
            trials=history.finished,
            wall_s=time.monotonic() - began,
        )
        self.observer.done(f"{cell.name}: {history.finished} Trials")

    @property
    def _log(self) -> Path:
        return self.logs / f"{self.planned.cell.cell_id}.log"

    def _start(self, history: History, arm: Arm, trial: int) -> LiveTrial:
        cell = self.planned.cell
        artifacts = self.builds.artifacts
        data = artifacts[self.plan.data_keys[cell.model.name]]
        artifact = artifacts[self.planned.artifact_key]
        seed = (self.measure.seed, trial)
        spec = trial_spec(self.planned, artifact.folder, data.folder, self.measure.timeout, seed)
        if slowdown := self.effects.get(arm.kind, 0.0):
            spec["slowdown"] = slowdown

        def note(event: str, **content: Any) -> None:
            history.note({"event": event, **content})
            if event == "warm":
                self._waits_ns[arm.kind, trial] = content["wait_ns"]
            if event == "trial-failed":
                self.record(event, **content)

        search = search_path(self.plan.suite.folder)
        return LiveTrial(arm, trial, spec, self.measure, self._log, search, note)

    def _keep(
        self,
        history: History,
        arms: list[Arm],
        number: int,
        trial: int,
        before_s: dict[str, float],
        wall_s: float,
    ) -> None:
        """Record one Trial: each arm's Blocks as rounds and seconds an item, by how much each call was
        slowed down, and what it took.
        """
        found: dict[str, Any] = {}
        for arm in arms:
            timing = history.arm(arm.key).timing
            if trial in timing.seconds:
                rounds, seconds = timing.rounds[trial], timing.seconds[trial]
                found[arm.kind] = [rounds.tolist(), [float(f"{value:.7g}") for value in seconds]]
        waits_ns = {arm.kind: self._waits_ns.get((arm.kind, trial), 0) for arm in arms}
        timed_s = {arm.kind: history.arm(arm.key).timed_s - before_s[arm.kind] for arm in arms}
        self.record(
            "noise-trial",
            group_id=self.planned.cell.group_id,
            experiment=number,
            trial=trial,
            arms=found,
            waits_ns=waits_ns,
            timed_s=timed_s,
            wall_s=wall_s,
        )

    def _bytes(self, history: History, arm: Arm) -> int:
        """Memory that a worker needs: what it was seen to need, else a guess."""
        payload = self.builds.artifacts[self.planned.artifact_key].payload_bytes
        return history.arm(arm.key).peak_bytes or BYTES_EMPTY + TIMES_ARTIFACT * payload
