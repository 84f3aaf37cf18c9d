"""What is told of a Run's progress: to a display, as plain lines, or to nobody."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Is told of progress; must be quick, since it is called between Blocks."""

    def phase(self, title: str, total: int) -> None:
        """Start a phase of `total` steps (build, measure)."""

    def expect(self, total: int) -> None:
        """Change the phase's number of steps to `total`."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def done(self, text: str = "") -> None:
        """End a step; `text` is worth a line of its own."""

    def notice(self, text: str) -> None:
        """Tell the person something important."""


class NoObserver(Observer):
    """Shows nothing."""
