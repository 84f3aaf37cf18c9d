"""What a figure is: a name, a title, and a function from what it shows to a drawing.

`of` says what it shows: a ``group`` or a technique ``family`` within a Group (a `Board`), or a ``cell``
(`report/cell.py`). A page asks for the figures of what it is about. A drawing is matplotlib's, or finished
SVG text (`drawing/light.py`) where there are too many for that.
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
    """One figure. `draw` returns None where there is nothing to show in it.

    `order` places it on the page; `wide` gives it the room of several; `note` says how to read it.
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
    """Return all figures of one kind of thing in the order of the page."""
    found = [item for item in FIGURES.values() if item.of == of]
    return sorted(found, key=lambda item: (item.order, item.name))
