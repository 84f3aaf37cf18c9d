"""Registry of audits: what a measuring worker shows each audit, and what an audit returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from harness.formats.tensors import Array
from harness.measure.clock import Clock
from harness.registry import Registry

MAX_REASONS = 3
"""So many faults of one audit are reported; more add nothing new."""

Inputs = Sequence[Array]
Call = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """The Session that was timed: how it binds inputs, and the calls that the Blocks repeated.

    `draw(rng)` returns a random batch of the evaluation data, perhaps one that was seen before; `seen` are
    the batches of the timed calls. `beat` tells the manager that the worker is alive.
    """

    bind: Callable[[Inputs], Call]
    calls: Sequence[Call]
    seen: Sequence[Inputs]
    draw: Callable[[np.random.Generator], Inputs]
    clock: Clock
    beat: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Finding:
    """What an audit found: `state` is passed, failed, or None where there was nothing to check."""

    audit: str
    state: str | None
    reasons: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return {**asdict(self), "reasons": list(self.reasons)}


class Audit:
    """One audit of one Trial. It overrides the methods that it needs."""

    name = ""

    def timed(self, batch: int, outputs: Sequence[Any] | None) -> None:
        """Take the `outputs` of a timed call on batch number `batch` of the evaluation data."""

    def probe(self, subject: Subject) -> None:
        """Check the Session after the last Block and before the evaluation."""

    def evaluated(self, batch: int, samples: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """Take the evaluation's `outputs` for batch number `batch`; its first `samples` are real."""

    def finding(self) -> Finding:
        """Return what was found."""
        raise NotImplementedError


AUDITS: Registry[type[Audit]] = Registry("audit", "harness.runner.workers.audits", "harness.audits")


def audit(cls: type[Audit]) -> type[Audit]:
    """Register an audit under its name."""
    return AUDITS.add(cls.name, cls)


def verdict(name: str, looked: int, faults: Sequence[str], **evidence: Any) -> Finding:
    """Return the Finding of an audit that checked `looked` things and found `faults`."""
    state = "failed" if faults else "passed" if looked else None
    return Finding(name, state, tuple(faults[:MAX_REASONS]), {"looked_at": looked, **evidence})
