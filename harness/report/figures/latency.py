"""Latency of each technique: median, 90th and 99th percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words.headline import call_of
from harness.report.columns import best_unit
from harness.report.drawing.canvas import SMALL, log_axis, write
from harness.report.drawing.palette import color
from harness.report.drawing.rows import ROW, Rows, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "latency",
    "Latency",
    "Percentiles of a Cell’s own calls, where enough were timed. Filled dot: the median. Open dot: the 90th. "
    "Bar: the 99th. Logarithmic.",
    order=20,
)
def draw(board: Board) -> Figure | None:
    """Draw dots for the percentiles of each technique on a logarithmic axis."""
    rows = [row for row in board.rows if row.latency_p50_s]
    if not rows:
        return None
    values = [
        value for row in rows for value in (row.latency_p50_s, row.latency_p90_s, row.latency_p99_s) if value
    ]
    unit, name = best_unit(values, "s")
    made = rows_figure(rows, f"{call_of(board.group)}, {name} (logarithmic)", key=18)
    for tick in log_axis(made.axes, "x", min(values) / 1.12 / unit, max(values) * 1.12 / unit, 5):
        made.axes.axvline(tick, color=color("faint"), linewidth=1, zorder=0)
    for index in range(len(rows)):
        _percentiles(made, index, unit)
    _key(made)
    return made.figure


def _percentiles(made: Rows, index: int, unit: float) -> None:
    row, hue, gid = made.rows[index], made.families[index].role.light, made.gid(index)
    p50, p90, p99 = (
        value / unit if value else None for value in (row.latency_p50_s, row.latency_p90_s, row.latency_p99_s)
    )
    ends = [value for value in (p50, p90, p99) if value]
    made.axes.plot([min(ends), max(ends)], [index, index], color=hue, linewidth=1.6, gid=gid)
    if p99:
        made.axes.plot([p99, p99], [index - 0.26, index + 0.26], color=hue, linewidth=2.2, gid=gid)
    if p90:
        style: Any = {"markerfacecolor": color("paper"), "markeredgecolor": hue, "markeredgewidth": 1.5}
        made.axes.plot([p90], [index], "o", markersize=5.5, gid=gid, **style)
    if p50:
        made.axes.plot([p50], [index], "o", color=hue, markersize=7.5, gid=gid)


def _key(made: Rows) -> None:
    """Draw the legend above the plot."""
    axes, muted = made.axes, color("muted")
    y = 1 + 11 / (len(made.rows) * ROW)
    style: Any = {"transform": axes.transAxes, "clip_on": False, "markersize": 6}
    style |= {"markeredgecolor": muted, "markeredgewidth": 1.5}
    marks = (("p50", "o", muted), ("p90", "o", color("paper")), ("p99", "|", muted))
    for position, (label, marker, face) in enumerate(marks):
        x = 0.02 + 0.19 * position
        axes.plot([x], [y], marker, markerfacecolor=face, **style)
        write(axes, x + 0.035, y, label, transform=axes.transAxes, fontsize=SMALL, color=muted)
