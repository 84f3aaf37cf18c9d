"""All audits of one Trial together: each is shown the same, and each has its say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.artifacts.tensors import Array
from harness.runner.audits.registry import AUDITS, Inputs, Subject


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

    def answered(self, batch: int, items: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """The quality pass answered a batch of which the first `items` are real."""
        for audit in self._audits:
            audit.answered(batch, items, inputs, outputs)

    def findings(self) -> list[dict[str, Any]]:
        """What each audit found, ready for JSON."""
        return [audit.finding().to_dict() for audit in self._audits]
