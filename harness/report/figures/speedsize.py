"""Speed-up against size of a family's techniques in one Group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.leaderboard import Board
from harness.report.drawing.canvas import canvas, log_axis, x_title, y_title
from harness.report.drawing.palette import color
from harness.report.drawing.scatter import Point, mark, name_points, ordered
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "speedsize",
    "Speed against size",
    "Up is faster, left is smaller, both relative to the baseline and logarithmic. Hollow: over the quality "
    "budget, or the baseline. Bars are 95 % intervals.",
    order=10,
    of="family",
)
def draw(board: Board) -> Figure | None:
    """Draw points of speed-up against the share of the baseline's size."""
    points = [Point(r, r.size_ratio, r.speedup) for r in board.rows if r.speedup and r.size_ratio]
    if len(points) < 2:
        return None
    made, axes = canvas(440, 300, 46, 38, 16, 26)
    _axis(axes, "x", [point.x for point in points], "%")
    speeds = [point.y for point in points]
    ends = [end for p in points for end in (end or p.y for end in p.row.interval)]
    # A very wide interval must not squeeze the others: ends count up to twice the estimates.
    low, high = min(speeds) / 2, max(speeds) * 2
    _axis(axes, "y", [min(max(end, low), high) for end in ends], "×")
    x_title(axes, "size, share of the baseline’s (logarithmic)")
    y_title(axes, "speed-up over the baseline (logarithmic)", 36)
    for point in ordered(points, board.best):
        row = point.row
        ends = [end or point.y for end in row.interval]
        axes.plot([point.x, point.x], ends, color=point.hue, linewidth=1.2, alpha=0.55)
        mark(axes, point, hollow=row.arm == "baseline" or row.within_budget is False)
    name_points(axes, points, None)
    return made


def _axis(axes: Axes, which: str, values: list[float], unit: str) -> None:
    """Make an axis logarithmic, with grid lines; the baseline's line is darker."""
    line = axes.axvline if which == "x" else axes.axhline
    for tick in log_axis(axes, which, min([*values, 1.0]) / 1.3, max([*values, 1.0]) * 1.3, 6, unit):
        line(tick, color=color("line" if tick == 1 else "faint"), linewidth=1, zorder=0)
