"""Arms: what an experiment measures side by side. An Arm holds all that a worker must know to measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.artifacts.artifact import Artifact
from harness.formats.target import Target
from harness.runner.workers.launch import Code

Role = Literal["subject", "baseline", "control"]
"""The baseline is what subjects are compared with; the control is an identical copy of it."""
Key = tuple[str, str]
"""What tells an Arm from the others of its sitting: id and role."""
Choice = tuple[str, Mapping[str, Any]]
"""A runtime or a deployment by its registered name, with its config ready for JSON."""

BYTES_EMPTY, TIMES_ARTIFACT = 400_000_000, 3
"""Memory expected of a worker that was never seen: its libraries, and a multiple of the Artifact's size."""


@dataclass(frozen=True)
class Arm:
    """One arm. `id` is the Cell's id where the arm measures a Cell; the journal calls the role ``arm``.

    `data` is the folder of the evaluation data, `log` the file that its workers print to. `slowdown` is a
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
    deployment: Choice = field(default=("", {}))
    replicas: int = 1
    slowdown: float = 0.0

    @property
    def key(self) -> Key:
        """What tells it from the other arms of its sitting."""
        return self.id, self.role

    @property
    def expected_bytes(self) -> int:
        """Memory expected of its worker before one was seen."""
        return (BYTES_EMPTY + TIMES_ARTIFACT * self.artifact.payload_bytes) * self.replicas

    def message(self, seed: int, trial: int, timeout_s: float) -> dict[str, Any]:
        """Return what a measuring worker is told (workers/measure.py), ready for JSON."""
        return {
            "runtime": self.runtime[0],
            "runtime_config": self.runtime[1],
            "deployment": self.deployment[0] or None,
            "deployment_config": self.deployment[1],
            "artifact": str(self.artifact.folder),
            "data": str(self.data),
            "target": self.target.to_dict(),
            "workload": self.workload,
            "slowdown": self.slowdown,
            "seed": (seed, trial),
            "timeout_s": timeout_s,
        }
