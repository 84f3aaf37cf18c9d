"""Arms, which an experiment measures side by side, and Trials: the manager's handle on one Arm's worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.artifacts.artifact import Artifact
from harness.errors import WorkerError
from harness.formats.target import Target
from harness.runner.workers.channel import Message
from harness.runner.workers.launch import Code, Worker, worker_environment
from harness.runner.workers.replicas import sweep_shared_memory

Role = Literal["subject", "baseline", "control"]
"""The baseline is what subjects are compared with; the control is an identical copy of it."""
Key = tuple[str, str]
"""What tells an Arm from the others of its sitting: id and role."""
Choice = tuple[str, Mapping[str, Any]]
"""A runtime or a deployment by its registered name, with its config ready for JSON."""

BYTES_EMPTY, TIMES_ARTIFACT = 400_000_000, 3
"""Memory expected of a worker that was never seen: its libraries, and a multiple of the Artifact's size."""
DEVICE_BYTES_EMPTY = 600_000_000
"""Device memory expected beside the Artifact: that of a CUDA context with its libraries (a rule of thumb)."""
BEAT_S = 5.0
"""During its evaluation a worker reports this often that it is alive."""


@dataclass(frozen=True)
class Arm:
    """One arm. `id` is the Cell's id where the arm measures a Cell; the journal calls the role ``arm``.

    `data` is the folder of the evaluation data, `evaluation` the suite's `batch` and `samples` for it
    (suite/schema.py, `Quality`), `log` the file that its workers print to. `slowdown` is a
    share of a call's length that each timed call waits in addition; only `harness noise` uses it.
    """

    id: str
    role: Role
    title: str
    code: Code
    artifact: Artifact
    data: Path
    log: Path
    target: Target
    workload: Mapping[str, Any]
    runtime: Choice
    deployment: Choice | None = None
    replicas: int = 1
    slowdown: float = 0.0
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What tells it from the other arms of its sitting."""
        return self.id, self.role

    @property
    def expected_bytes(self) -> int:
        """Memory expected of its worker before one was seen."""
        return (BYTES_EMPTY + TIMES_ARTIFACT * self.artifact.payload_bytes) * self.replicas

    @property
    def expected_device_bytes(self) -> int:
        """Device memory expected of its worker before one was seen."""
        return (DEVICE_BYTES_EMPTY + TIMES_ARTIFACT * self.artifact.payload_bytes) * self.replicas

    def message(self, seed: int, trial: int, timeout_s: float) -> dict[str, Any]:
        """Return what a measuring worker is told (workers/measure.py), ready for JSON."""
        deployment, deployment_config = self.deployment or (None, None)
        return {
            "runtime": self.runtime[0],
            "runtime_config": self.runtime[1],
            "deployment": deployment,
            "deployment_config": deployment_config,
            "artifact": str(self.artifact.folder),
            "data": str(self.data),
            "target": self.target.to_dict(),
            "workload": self.workload,
            "slowdown": self.slowdown,
            "seed": (seed, trial),
            "timeout_s": timeout_s,
        }


class Settings(Protocol):
    """How to measure. Times are seconds; suite/schema.py (`Measure`) says what each setting means."""

    target_ci: float
    max_time: float
    trials: int | Literal["auto"]
    block_time: float
    warmup_time: float
    environment: dict[str, str]
    huge_pages: bool
    timeout: float
    seed: int


class Trial:
    """A worker that measures `arm`. Each method may raise WorkerError; `fail` records it and ends the worker.

    `timed_s` and `rounds` count what was timed so far; `stage` is the phase that the worker is in.
    """

    def __init__(self, arm: Arm, number: int, settings: Settings, record: Callable[..., Any]) -> None:
        self.arm, self.number, self.settings = arm, number, settings
        self.timed_s = 0.0
        self.rounds = 0
        self.stage = "start"
        self._record = record
        self._started: Worker | None = None

    def launch(self) -> None:
        """Start the process. Raises WorkerError where the system cannot start one."""
        target, settings = self.arm.target, self.settings
        environment = worker_environment(target.threads, settings.environment, huge_pages=settings.huge_pages)
        self._started = Worker(
            "harness.runner.workers.measure",
            self.arm.log,
            code=self.arm.code,
            environment=environment,
            cores=target.cores,
        )
        with contextlib.suppress(WorkerError):  # wait_ready reports a worker that died at once
            message = self.arm.message(self.settings.seed, self.number, self.settings.timeout)
            self._worker.send("measure", **message)

    def wait_ready(self) -> None:
        """Wait until the runtime is imported."""
        self._keep("ready", self._worker.expect("ready", self.settings.timeout))

    def load(self) -> None:
        """Load the Artifact, make the first call, warm up."""
        self.stage = "load"
        self._keep("loaded", self._ask("load", "loaded"))
        self.stage = "measure"
        cap_s, block_s = self.settings.warmup_time, self.settings.block_time
        self._keep("warm", self._ask("warm", "warm", extra_s=cap_s, block_s=block_s, cap_s=cap_s))

    def block(self, round_: int, order: int, meanwhile: Callable[[], None]) -> Callable[[], None]:
        """Time one Block, and return what records it; `meanwhile` is called while the worker wakes."""
        message = self._ask("block", "block", self.settings.block_time, meanwhile)
        self.timed_s += message["duration_ns"] / 1e9
        self.rounds += 1
        return partial(self._keep, "block", message, round=round_, order=order)

    def finish(self, *, evaluate: bool) -> None:
        """End the steady phase; run the evaluation if asked to."""
        self._keep("memory", self._ask("memory", "memory"))
        if evaluate:
            self.stage = "evaluation"
            message = self._ask("evaluation", "evaluation", beat_s=BEAT_S, **self.arm.evaluation)
            self._keep("evaluation", message)

    def dismiss(self) -> None:
        """Ask the worker to end, without waiting for it."""
        self._worker.dismiss()

    def close(self) -> None:
        """Wait until the worker has ended."""
        self._say(self._worker.close())
        self._record("trial-end", **self._names(), worker_s=self._worker.age_s)

    def fail(self, error: WorkerError) -> None:
        """Record that this Trial ended early, in its log too, and end the worker."""
        self.kill()
        with contextlib.suppress(OSError), self.arm.log.open("a", encoding="utf-8") as log:
            log.write(f"[harness] Trial {self.number + 1} ({self.arm.role}), {self.stage}: {error}\n")
        self._record("trial-failed", **self._names(), stage=self.stage, reason=str(error), blocks=self.rounds)

    def kill(self) -> None:
        """End the worker at once."""
        if self._started is not None:
            self._say(self._started.kill())
        sweep_shared_memory()

    def _say(self, outlived: str) -> None:
        """Record a worker that could not be ended."""
        if outlived:
            self._record("notice", text=f"{self.arm.title}: {outlived}")

    @property
    def _worker(self) -> Worker:
        assert self._started is not None  # noqa: S101
        return self._started

    def _ask(
        self,
        command: str,
        event: str,
        extra_s: float = 0.0,
        meanwhile: Callable[[], None] = lambda: None,
        **content: Any,
    ) -> Message:
        """Send a command, call `meanwhile`, and wait for the answer.

        The worker is then paused until the next command, because its threads may still spin.
        """
        self._worker.send(command, **content)
        meanwhile()
        message = self._worker.expect(event, self.settings.timeout + extra_s)
        self._worker.pause()
        return message

    def _keep(self, event: str, message: Message, **more: Any) -> None:
        content = {k: v for k, v in message.items() if k != "event"}
        self._record(event, **self._names(), **content, **more)

    def _names(self) -> dict[str, Any]:
        return {"cell_id": self.arm.id, "arm": self.arm.role, "trial": self.number}
