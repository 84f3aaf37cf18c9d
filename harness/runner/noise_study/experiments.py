"""One experiment of `harness noise`: a baseline compared with copies of itself whose slow-down is known.

It is measured as a Run measures a Group. The arms are the baseline, its control, an identical copy, and
copies with an injected slow-down, all interleaved.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from harness.analysis.noise_study.power import BASELINE, CONTROL
from harness.errors import WorkerError
from harness.runner.experiment.stopping_rule import stopping_rule
from harness.runner.experiment.trial import Arm, Key
from harness.runner.run.experiment import Experiment
from harness.store.journal import Event
from harness.suite.matrix import Cell
from harness.suite.schema import Measure

IDENTICAL = "identical"


def arms_for(effects: Iterable[float]) -> dict[str, float]:
    """Name the candidates: an identical copy, and one for each slow-down (a share); name → slow-down."""
    return {IDENTICAL: 0.0, **{f"{100 * effect:.6g}% slower": effect for effect in effects}}


class Experiments:
    """Makes experiments with one baseline, whose Trials it records as events of the noise study."""

    def __init__(
        self,
        experiment: Experiment,
        baseline: Cell,
        effects: dict[str, float],
        measure: Measure,
        **options: Any,
    ) -> None:
        self.experiment, self.baseline, self.measure = experiment, baseline, measure
        self._options = options
        self._arms: dict[str, Arm] = {
            BASELINE: experiment.arm(baseline, "baseline"),
            CONTROL: experiment.arm(baseline, "control"),
        }
        for name, effect in effects.items():
            own: dict[str, Any] = {"id": f"{baseline.cell_id}/{name}", "title": f"{baseline.name} ({name})"}
            self._arms[name] = experiment.arm(baseline, slowdown=effect, **own)

    def make(self, number: int) -> None:
        """Make one experiment and record each of its Trials. Raises WorkerError when an arm cannot run."""
        began = time.monotonic()
        cell, record = self.baseline, self.experiment.record
        self._names = {"group_id": cell.group_id, "experiment": number}
        self._sitting = self.experiment.sitting(
            f"{number}/{cell.group_id}",
            settings=self.measure,
            record=self._record,
            evaluate=False,
            **self._options,
        )
        made = self._sitting.measure([*self._arms.values()], stopping_rule(self.measure))
        record("experiment", **self._names, trials=made.finished, wall_s=time.monotonic() - began)
        self.experiment.observer.done(f"{cell.name}: {made.finished} Trials")

    def _record(self, event: str, **content: Any) -> Event:
        """Record a Trial as one event, without its single calls, and each failure."""
        match event:
            case "trial-start":
                self._began, self._waits_ns = time.monotonic(), {}
            case "warm":
                self._waits_ns[content["cell_id"], content["arm"]] = content["wait_ns"]
            case "trial-failed" | "trial-again":
                self.experiment.record(event, **content)
            case "trial-done":
                self._keep(content["trial"], content["arms"])
        return {"event": event, **content}

    def _keep(self, trial: int, keys: Sequence[Key]) -> None:
        """Record one Trial: each arm's Blocks as rounds and seconds a sample, its wait a call, its times."""
        measurements = self._sitting.measurements
        if measurements.failed:
            log = self._arms[BASELINE].log
            raise WorkerError(f"{self.baseline.name}: a worker timed nothing; see {log}")
        taking = {name: arm.key for name, arm in self._arms.items() if arm.key in keys}
        found: dict[str, Any] = {}
        for name, key in taking.items():
            timing = measurements.arm(key).timing
            timed = self._sitting.key, trial
            if timed in timing.seconds:
                rounds, seconds = timing.rounds[timed], timing.seconds[timed]
                found[name] = [rounds.tolist(), [float(f"{value:.7g}") for value in seconds]]
        self.experiment.record(
            "noise-trial",
            **self._names,
            trial=trial,
            arms=found,
            waits_ns={name: self._waits_ns.get(key, 0) for name, key in taking.items()},
            timed_s={name: measurements.arm(key).trials[trial].timed_s for name, key in taking.items()},
            wall_s=time.monotonic() - self._began,
        )
