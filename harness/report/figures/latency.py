"""How long a call takes, and how long it sometimes takes: median, 90th and 99th percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words.headline import sample_of
from harness.report.columns import best_unit
from harness.report.drawing.canvas import SMALL, log_ticks, write
from harness.report.drawing.palette import color
from harness.report.drawing.rows import Rows, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "latency",
    "Latency",
    "Filled: the median. Open: the 90th percentile. Bar: the 99th; missing where too little was timed. "
    "Logarithmic: equal distances are equal factors.",
    order=20,
)
def draw(board: Board) -> Figure | None:
    """Dots for the percentiles of each technique on a logarithmic axis."""
    rows = [row for row in board.rows if row.latency_p50_s]
    if not rows:
        return None
    values = [
        value for row in rows for value in (row.latency_p50_s, row.latency_p90_s, row.latency_p99_s) if value
    ]
    low, high = min(values) / 1.12, max(values) * 1.12
    unit, name = best_unit(values, "s")
    made = rows_figure(rows, f"{sample_of(board.group)}, {name} (logarithmic)", key=18)
    made.axes.set_xscale("log")
    made.axes.set_xlim(low / unit, high / unit)
    ticks = log_ticks(low / unit, high / unit, 5)
    made.axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    made.axes.set_xticks([], minor=True)
    for tick in ticks:
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
    """Name the marks above the plot, once."""
    axes, muted = made.axes, color("muted")
    for place, (label, marker, face) in enumerate(
        (("p50", "o", muted), ("p90", "o", color("paper")), ("p99", "|", muted))
    ):
        at = 0.02 + 0.19 * place
        y = 1 + 11 / (len(made.rows) * 23)
        axes.plot(
            [at],
            [y],
            marker,
            transform=axes.transAxes,
            clip_on=False,
            markersize=6,
            markerfacecolor=face,
            markeredgecolor=muted,
            markeredgewidth=1.5,
        )
        write(axes, at + 0.035, y, label, transform=axes.transAxes, fontsize=SMALL, color=muted)
