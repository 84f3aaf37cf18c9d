"""How a Run reports its progress."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Receives the progress of a Run; must be quick, because it is called between Blocks."""

    def phase(self, title: str, total: int) -> None:
        """Start a phase of `total` steps (build, measure)."""

    def expect(self, total: int) -> None:
        """Change the phase's number of steps to `total`."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def done(self, text: str = "") -> None:
        """End a step; `text` is shown on a line of its own."""

    def notice(self, text: str, cause: str = "") -> None:
        """Show something important; of the texts with the same `cause` only the first."""
