"""What a figure is: a name, a title, and a function from a Group's board to a drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.leaderboard import Board
from harness.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Draw = Callable[[Board], "Drawing | None"]


@dataclass(frozen=True)
class Figure:
    """One figure of a Group. `draw` returns None where the Group has nothing to show in it.

    `order` places it on the page; `wide` gives it the room of several; `note` says how to read it.
    """

    name: str
    title: str
    note: str
    draw: Draw
    order: int
    wide: bool = False


FIGURES: Registry[Figure] = Registry("figure", "harness.report.figures", "harness.figures")


def figure(name: str, title: str, note: str, order: int, *, wide: bool = False) -> Callable[[Draw], Draw]:
    """Register a drawing function as a figure."""

    def add(draw: Draw) -> Draw:
        FIGURES.add(name, Figure(name, title, note, draw, order, wide))
        return draw

    return add


def figures() -> list[Figure]:
    """Return all figures in the order of the page."""
    return sorted(FIGURES.values(), key=lambda item: (item.order, item.name))
