"""One arm of a Group in one Trial: the manager's handle on a measuring worker, every event journalled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import WorkerError
from harness.runner.experiment.group_progress import Key
from harness.runner.plan import PlannedCell
from harness.runner.workers.channel import Message, Worker
from harness.runner.workers.environment import worker_environment
from harness.runner.workers.replicas import sweep_shared_memory
from harness.suite.schema import Measure

BEAT_S = 5.0
"""A worker in its quality pass gives a sign of life this often."""


@dataclass(frozen=True)
class Arm:
    """A Cell as it is measured: itself, as the Group's baseline, or as a copy of the baseline."""

    planned: PlannedCell
    kind: str  # cell, baseline or shadow; `harness noise` has more copies

    @property
    def cell_id(self) -> str:
        """The Cell's id; a copy has its baseline's."""
        return self.planned.cell.cell_id

    @property
    def key(self) -> Key:
        """What tells it from the other arms of its Group."""
        return self.cell_id, self.kind

    @property
    def title(self) -> str:
        """For people."""
        copy = "" if self.kind in ("subject", "baseline") else f" ({self.kind})"
        return f"{self.planned.cell.name}{copy}"


class LiveTrial:
    """A worker that measures `arm`. Each method may raise WorkerError; `fail` records it and ends it."""

    def __init__(
        self,
        arm: Arm,
        trial: int,
        spec: dict[str, Any],
        measure: Measure,
        log: Path,
        search: tuple[str, ...],
        record: Callable[..., Any],
    ) -> None:
        self.arm, self.trial, self.measure = arm, trial, measure
        self.log = log
        self.timed_s = 0.0
        self.rounds = 0
        self.stage = "start"
        self._record = record
        self._spec, self._search = spec, search
        self._started: Worker | None = None

    def launch(self) -> None:
        """Start the process. Raises WorkerError where the system gives none."""
        environment = worker_environment(self.arm.planned.target.threads, huge_pages=self.measure.huge_pages)
        self._started = Worker(
            "harness.runner.workers.measure", self.log, environment=environment, search=self._search
        )
        with contextlib.suppress(WorkerError):  # one that died at once is noticed by wait_ready
            self._worker.send("measure", **self._spec)

    def wait_ready(self) -> None:
        """Wait until the runtime is imported."""
        self._keep("ready", self._worker.expect("ready", self.measure.timeout))

    def load(self) -> None:
        """Load the Artifact, make the first call, warm up."""
        self.stage = "load"
        self._keep("loaded", self._ask("load", "loaded"))
        self.stage = "measure"
        cap, block = self.measure.warmup_time, self.measure.block_time
        answer = self._ask("warm", "warm", extra_s=cap, block_s=block, cap_s=cap)
        self._keep("warm", answer)

    def block(self, round_: int, order: int) -> None:
        """Time one Block."""
        answer = self._ask("block", "block", extra_s=self.measure.block_time)
        self.timed_s += answer["duration_ns"] / 1e9
        self.rounds += 1
        self._keep("block", answer, round=round_, order=order)

    def finish(self, *, quality: bool) -> None:
        """End the steady phase; answer the quality set if asked to; end the worker."""
        self._keep("memory", self._ask("memory", "memory"))
        if quality:
            self.stage = "quality"
            self._keep("quality", self._ask("quality", "quality", beat_s=BEAT_S))

    def dismiss(self) -> None:
        """Tell the worker that there is nothing more to do; it ends while others are told."""
        self._worker.dismiss()

    def close(self) -> None:
        """End the worker."""
        self._worker.close()
        self._record("trial-end", **self._names(), worker_s=self._worker.age_s)

    def fail(self, error: WorkerError) -> None:
        """Record that this Trial ended early, in its log too, and end the worker."""
        self.kill()
        with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as log:
            log.write(f"[harness] Trial {self.trial + 1} ({self.arm.kind}), {self.stage}: {error}\n")
        self._record("trial-failed", **self._names(), stage=self.stage, reason=str(error), blocks=self.rounds)

    def kill(self) -> None:
        """End the worker at once."""
        if self._started is not None:
            self._started.kill()
        sweep_shared_memory()

    @property
    def _worker(self) -> Worker:
        assert self._started is not None  # noqa: S101
        return self._started

    def _ask(self, command: str, event: str, extra_s: float = 0.0, **content: Any) -> Message:
        self._worker.send(command, **content)
        return self._worker.expect(event, self.measure.timeout + extra_s)

    def _keep(self, event: str, message: Message, **more: Any) -> None:
        content = {k: v for k, v in message.items() if k != "event"}
        self._record(event, **self._names(), **content, **more)

    def _names(self) -> dict[str, Any]:
        return {"cell_id": self.arm.cell_id, "arm": self.arm.kind, "trial": self.trial}


def trial_spec(
    planned: PlannedCell, artifact: Path, data: Path, timeout_s: float, seed: tuple[int, int]
) -> dict[str, Any]:
    """What a measuring worker is told of its Cell; `seed` is the suite's and the Trial's number."""
    pipeline = planned.cell.pipeline
    deployment = pipeline.deployment_config
    return {
        "runtime": pipeline.runtime.name,
        "runtime_config": pipeline.runtime_config.model_dump(mode="json"),
        "deployment": pipeline.deployment.family if pipeline.deployment else None,
        "deployment_config": deployment.model_dump(mode="json") if deployment else None,
        "artifact": str(artifact),
        "data": str(data),
        "target": planned.target.to_dict(),
        "workload": planned.cell.workload.model_dump(mode="json"),
        "seed": seed,
        "timeout_s": timeout_s,
    }


def search_path(folder: Path) -> tuple[str, ...]:
    """Where a user's own modules are looked for, after everything installed."""
    return (str(folder), str(Path.cwd()))
