"""The seam of audits: what a measuring worker shows to each of them, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from harness.formats.tensors import Array
from harness.measure.clock import Clock
from harness.registry import Registry

MAX_REASONS = 3
"""So many faults of one audit are told; more say nothing new."""

Inputs = Sequence[Array]
Call = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """The Session that was timed: how it binds inputs, and the calls that the Blocks repeated.

    `draw(rng)` returns a batch of the quality set's items, which may be one that was seen before; `seen` are
    the batches that the timed calls answer. `beat` tells the manager that the worker is alive.
    """

    bind: Callable[[Inputs], Call]
    calls: Sequence[Call]
    seen: Sequence[Inputs]
    draw: Callable[[np.random.Generator], Inputs]
    clock: Clock
    beat: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Finding:
    """What an audit found: `state` is passed, failed, or None where nothing could be looked at."""

    audit: str
    state: str | None
    reasons: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return {**asdict(self), "reasons": list(self.reasons)}


class Audit:
    """One audit of one Trial. What does not concern it, it leaves as it is here."""

    name = ""

    def timed(self, batch: int, outputs: Sequence[Any] | None) -> None:
        """A timed call answered `outputs` to batch number `batch` of the quality set."""

    def probe(self, subject: Subject) -> None:
        """All Blocks are timed, and the quality set is not answered yet."""

    def evaluated(self, batch: int, samples: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """The quality pass answered `outputs` to batch number `batch`; its first `items` are real."""

    def finding(self) -> Finding:
        """Say what was found."""
        raise NotImplementedError


AUDITS: Registry[type[Audit]] = Registry("audit", "harness.runner.workers.audits", "harness.audits")


def audit(cls: type[Audit]) -> type[Audit]:
    """Register an audit under its name."""
    return AUDITS.add(cls.name, cls)


def verdict(name: str, looked: int, faults: Sequence[str], **evidence: Any) -> Finding:
    """Make the Finding of an audit that looked at so many things and found `faults`."""
    state = "failed" if faults else "passed" if looked else None
    return Finding(name, state, tuple(faults[:MAX_REASONS]), {"looked_at": looked, **evidence})


class Audits:
    """One of each registered audit."""

    def __init__(self) -> None:
        self._audits = [cls() for cls in AUDITS.values()]

    def timed(self, batch: int, outputs: Sequence[Any] | None) -> None:
        """A timed call answered `outputs` to batch number `batch` of the quality set."""
        for audit in self._audits:
            audit.timed(batch, outputs)

    def probe(self, subject: Subject) -> None:
        """All Blocks are timed; the Session can be asked what else an audit wants to know."""
        for audit in self._audits:
            audit.probe(subject)

    def evaluated(self, batch: int, samples: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """The quality pass answered a batch of which the first `items` are real."""
        for audit in self._audits:
            audit.evaluated(batch, samples, inputs, outputs)

    def findings(self) -> list[dict[str, Any]]:
        """What each audit found, ready for JSON."""
        return [audit.finding().to_dict() for audit in self._audits]
