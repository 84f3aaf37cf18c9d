"""Figures with one row per technique, in the order of the table: name on the left, values on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.report.drawing.canvas import SMALL, canvas, text_size, write, x_title
from harness.report.drawing.palette import Family, color, family_of
from harness.report.drawing.svg import MARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 360.0
ROW = 23.0
MAX_NAME = 26
NAME_SHARE = 0.42


@dataclass(frozen=True)
class Rows:
    """A figure with named rows: row i is at y = i, from the top."""

    figure: Figure
    axes: Axes
    rows: list[Comparison]
    families: list[Family]

    def gid(self, index: int) -> str:
        """Return the gid that links an artist to its row in the table."""
        return f"{MARK}{self.rows[index].cell_id}"


def rows_figure(rows: Sequence[Comparison], title: str, *, key: float = 0.0, room: float = 14.0) -> Rows:
    """Return a figure with the rows' names, `key` free pixels above for a legend, and `room` at the right."""
    names = [say.short(row.technique, MAX_NAME) for row in rows]
    widest = max(text_size(name)[0] for name in names)
    left = min(widest + 16, WIDTH * NAME_SHARE)
    height = len(rows) * ROW + 44 + key
    figure, axes = canvas(WIDTH, height, left, 38, room, 6 + key)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    x_title(axes, title)
    made = Rows(figure, axes, list(rows), [family_of(row.families, row.arm) for row in rows])
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        muted = row.arm == "baseline"
        made.axes.annotate(
            name,
            (0, index),
            xycoords=("axes fraction", "data"),
            xytext=(-10, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=SMALL + 0.5,
            color=color("muted" if muted else "ink"),
            style="italic" if muted else "normal",
            parse_math=False,
            gid=made.gid(index),
        )
        axes.axhline(index, color=color("faint"), linewidth=1, zorder=0)
    return made


def end_label(made: Rows, index: int, value: float, text: str) -> None:
    """Write a value to the right of its mark."""
    label = write(made.axes, value, index, text, fontsize=SMALL, color=color("ink"), gid=made.gid(index))
    label.set_transform(label.get_transform() + _shift(made.figure, 7))


def _shift(figure: Figure, pixels: float) -> object:
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(pixels / 72, 0, figure.dpi_scale_trans)
