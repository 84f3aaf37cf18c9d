"""Whoever watches a Run: a progress display, plain lines, or nobody."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told what happens; must be quick, since it is called between Blocks."""

    def phase(self, title: str, total: int) -> None:
        """Start a phase of `total` steps (build, measure)."""
        ...

    def expect(self, total: int) -> None:
        """The phase turns out to have `total` steps."""
        ...

    def step(self, text: str) -> None:
        """A step begins."""
        ...

    def done(self, text: str = "") -> None:
        """A step is done; `text` is worth a line of its own."""
        ...

    def notice(self, text: str) -> None:
        """Tell the person something that matters."""
        ...


class Silent:
    """Nobody watches."""

    def phase(self, title: str, total: int) -> None:
        """Ignore."""

    def expect(self, total: int) -> None:
        """Ignore."""

    def step(self, text: str) -> None:
        """Ignore."""

    def done(self, text: str = "") -> None:
        """Ignore."""

    def notice(self, text: str) -> None:
        """Ignore."""
