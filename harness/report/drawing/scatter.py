"""Figures of points: one point per Cell, with its name, linked to its row in the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.report.drawing.canvas import TEXT, text_size, write
from harness.report.drawing.labels import Box, Placed, nearest_edge, place
from harness.report.drawing.palette import color, family_of
from harness.report.drawing.svg import MARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Point:
    """A row and its coordinates in the figure."""

    row: Comparison
    x: float
    y: float

    @property
    def gid(self) -> str:
        """Return the gid that links an artist to its row in the table."""
        return f"{MARK}{self.row.cell_id}"

    @property
    def hue(self) -> str:
        """Return the color of the row's family."""
        return family_of(self.row.families, self.row.arm).role.light


def ordered(points: Iterable[Point], best: str | None) -> list[Point]:
    """Sort points for drawing: the best one last, so that it lies on top."""
    return sorted(points, key=lambda point: point.row.cell_id == best)


def mark(axes: Axes, point: Point, *, hollow: bool) -> None:
    """Draw a point's marker; a rim below it keeps overlapping points visible."""
    marker = family_of(point.row.families, point.row.arm).marker
    axes.plot([point.x], [point.y], marker, markersize=12, color=color("paper"), zorder=5)
    face = color("paper") if hollow else point.hue
    axes.plot([point.x], [point.y], marker, markersize=8.5, markerfacecolor=face, markeredgecolor=point.hue,
              markeredgewidth=1.6, zorder=5, gid=point.gid)  # fmt: skip


def name_points(
    axes: Axes,
    points: Sequence[Point],
    best: str | None,
    taken: Sequence[Box] = (),
    avoid: Sequence[Box] = (),
) -> None:
    """Write the names of the points, the best one in bold; earlier points get their places first."""
    names = [say.short(point.row.technique, 24) for point in points]
    weights = ["bold" if point.row.cell_id == best else "normal" for point in points]
    sizes = [text_size(name, TEXT, weight) for name, weight in zip(names, weights, strict=True)]
    pixels = [tuple(axes.transData.transform((point.x, point.y))) for point in points]
    area = axes.get_window_extent()
    bounds = (area.x0, area.y0, area.x1 + 10, area.y1 + 4)
    spots = place(pixels, sizes, bounds, taken, avoid, radius=7)
    for point, name, weight, spot in zip(points, names, weights, spots, strict=True):
        if spot is not None:
            tone = color("muted" if point.row.arm == "baseline" else "ink")
            _name(axes, point, spot, name, weight=weight, color=tone, gid=point.gid, zorder=6)


def _name(axes: Axes, point: Point, spot: Placed, text: str, **style: Any) -> None:
    """Write a point's name at its place, with a line to the point if it is far."""
    back = axes.transData.inverted()
    if spot.leads:
        x, y = axes.transData.transform((point.x, point.y))
        end = back.transform(nearest_edge((float(x), float(y)), spot.box))
        axes.plot([point.x, end[0]], [point.y, end[1]], color=color("muted"), linewidth=0.7, zorder=5.5)
    x, y = back.transform(spot.center)
    write(axes, x, y, text, ha="center", **style)
