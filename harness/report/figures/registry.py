"""Figures: a name, a title, a note, and a function that draws.

`of` says what a figure shows: a ``group``, or a technique ``family`` within a Group (both are drawn from a
`Board`), or a ``cell`` (`CellView`). A figure is drawn with matplotlib, or as SVG with `drawing/plot.py`,
which is faster for hundreds of figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from harness.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Draw = Callable[[Any], "Drawing | str | None"]
DrawT = TypeVar("DrawT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Figure:
    """One figure. `draw` returns None if there is nothing to show.

    `order`: its place on the page. `wide`: whether it is larger than others. `note`: how to read it.
    """

    name: str
    title: str
    note: str
    draw: Draw
    order: int
    wide: bool = False
    of: str = "group"


FIGURES: Registry[Figure] = Registry("figure", "harness.report.figures", "harness.figures")


def figure(
    name: str, title: str, note: str, order: int, *, wide: bool = False, of: str = "group"
) -> Callable[[DrawT], DrawT]:
    """Register a drawing function as a figure."""

    def add(draw: DrawT) -> DrawT:
        FIGURES.add(name, Figure(name, title, note, draw, order, wide, of))
        return draw

    return add


def figures(of: str = "group") -> list[Figure]:
    """Return all figures of one kind in the order of the page."""
    found = [entry for entry in FIGURES.values() if entry.of == of]
    return sorted(found, key=lambda entry: (entry.order, entry.name))
