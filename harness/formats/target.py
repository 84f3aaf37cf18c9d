"""Where an Artifact runs: what a compiler may specialize on, and what a Session is opened with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """Batch (samples per call), device (cpu or cuda), thread budget, and the cores that belong to it.

    With replicas, the cores of one replica follow those of the other.
    """

    batch: int
    device: str = "cpu"
    threads: int = 1
    cores: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Target:
        """Read a target from JSON."""
        return cls(**{**content, "cores": tuple(content.get("cores", ()))})
