"""Speed-up against the change in quality, with the Pareto front and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.analysis.compare.budget import NOT_SHOWN
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.drawing.canvas import (
    SMALL,
    canvas,
    few_ticks,
    log_axis,
    text_size,
    write,
    x_title,
    y_title,
)
from harness.report.drawing.labels import Box, inside, overlap
from harness.report.drawing.palette import color
from harness.report.drawing.scatter import Point, mark, name_points, ordered
from harness.report.figures.registry import figure
from harness.units import POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "tradeoff",
    "Speed against quality",
    "Up and to the right is better. The stepped line is the Pareto front: no other technique is both faster "
    "and better than a point on it. Bars are 95 % intervals.",
    order=10,
    wide=True,
)
def draw(board: Board) -> Figure | None:
    """Draw points of speed-up (logarithmic) against the change in quality."""
    points = [
        Point(row, row.speedup, -row.quality_loss)
        for row in board.rows
        if row.speedup is not None and row.quality_loss is not None
    ]
    if len(points) < 2:
        return None
    made, axes = canvas(450, 420, 50, 40, 14, 26)
    _x_axis(axes, points)
    _y_axis(axes, points, board)
    _regions(axes, board)
    front = _front(axes, [point for point in points if point.row.pareto])
    for point in ordered(points, board.best):
        _point(axes, point, best=point.row.cell_id == board.best)
    taken = _name_budget(axes, points, board)
    # The best point and the Pareto front get their places first.
    order = sorted(
        points, key=lambda p: (p.row.cell_id != board.best, not p.row.pareto, p.row.arm != "baseline")
    )
    name_points(axes, order, board.best, taken, front)
    return made


def _x_axis(axes: Axes, points: list[Point]) -> None:
    values = [1.0, *(point.x for point in points)]
    for tick in log_axis(axes, "x", min(values) / 1.12, max(values) * 1.3, 8, "×"):
        axes.axvline(tick, color=color("faint"), linewidth=1, zorder=0)
    x_title(axes, "speed-up over the baseline (logarithmic)")


def _y_axis(axes: Axes, points: list[Point], board: Board) -> None:
    """Scale the y axis: linear if all changes are small, else logarithmic beyond the budget."""
    changes = [point.y for point in points]
    # Without a budget: half a point for points; for other units, the largest change.
    largest = max(abs(change) for change in changes)
    allowed = board.max_drop or (0.5 if board.unit == POINTS else largest or 1e-3)
    low, high = min([*changes, -1.25 * allowed]), max([*changes, 0.25 * allowed])
    if low < -6 * allowed or high > 6 * allowed:
        axes.set_yscale("symlog", linthresh=allowed, linscale=0.8)
        axes.set_ylim(min(low * 1.5, -1.5 * allowed), max(high * 1.6, 0.7 * allowed))
        steps = [m * 10.0**p for p in range(-4, 4) for m in (1, 2, 5)]
        wanted = [0.0, *(s * k for k in steps for s in (1, -1) if k >= allowed)]
        inside = sorted(t for t in wanted if axes.get_ylim()[0] <= t <= axes.get_ylim()[1])
        ticks = inside if len(inside) <= 8 else [t for t in inside if t == 0 or f"{abs(t):e}"[0] in "15"]
    else:
        pad = 0.09 * (high - low)
        axes.set_ylim(low - pad, high + pad)
        nearby = few_ticks(7).tick_values(low - pad, high + pad)
        ticks = [float(tick) for tick in nearby if low - pad <= tick <= high + pad]
    axes.set_yticks(ticks, [_change(-tick if board.less_is_better else tick) for tick in ticks])
    axes.set_yticks([], minor=True)
    unit = say.unit_word(board.unit)
    title = f"change in {say.short(board.metric or 'quality', 30)}" + (f", {unit}" if unit else "")
    title += "; less is better" if board.less_is_better else ""
    y_title(axes, title, 40)


def _change(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:+g}".replace("-", say.MINUS)


def _regions(axes: Axes, board: Board) -> None:
    """Draw the baseline's lines, the noise floor around 1 ×, and the area over the budget."""
    axes.axhline(0, color=color("line"), linewidth=1, zorder=1)
    axes.axvline(1, color=color("line"), linewidth=1, zorder=1)
    if board.floor and board.floor < 10:
        axes.axvspan(1 / (1 + board.floor), 1 + board.floor, color=color("faint"), linewidth=0, zorder=0)
    if board.max_drop is None:
        return
    bottom = axes.get_ylim()[0]
    axes.axhspan(bottom, -board.max_drop, color=color("wash"), linewidth=0, zorder=-1)
    axes.axhline(-board.max_drop, color=color("warn"), linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def _name_budget(axes: Axes, points: list[Point], board: Board) -> list[Box]:
    """Write the budget's name at an end of its line, where it covers the fewest points and bars.

    Return the box of that text in pixels; no box without a budget.
    """
    if board.max_drop is None:
        return []
    sign = "+" if board.less_is_better else say.MINUS
    text = f"budget: {sign}{say.points(board.max_drop, board.unit)}"
    (wide, high), area = text_size(text, SMALL), axes.get_window_extent()
    line = float(axes.transData.transform((1, -board.max_drop))[1])
    drawn = [box for point in points for box in _covered(axes, point)]
    lefts, bottoms = (area.x1 - 2 - wide, area.x0 + 4), (line - 4 - high, line + 4)
    boxes = [(left, bottom, left + wide, bottom + high) for left in lefts for bottom in bottoms]
    fitting = [box for box in boxes if inside(box, (area.x0, area.y0, area.x1, area.y1))] or boxes[:1]
    best = min(fitting, key=lambda box: sum(overlap(box, other) for other in drawn))
    x, y = axes.transData.inverted().transform(((best[0] + best[2]) / 2, (best[1] + best[3]) / 2))
    write(axes, x, y, text, ha="center", fontsize=SMALL, color=color("warn"), zorder=6)
    return [best]


def _covered(axes: Axes, point: Point) -> list[Box]:
    """Return the boxes that a point and its bars cover, in pixels."""
    row = point.row
    worst = point.y if row.quality_loss_high is None else -row.quality_loss_high
    best = point.y if row.quality_loss_low is None else -row.quality_loss_low
    slow, fast = (end or point.x for end in row.interval)
    (x, y), start, end = axes.transData.transform([(point.x, point.y), (slow, worst), (fast, best)])
    bars = (_cover((start[0], y), (end[0], y)), _cover((x, start[1]), (x, end[1])))
    return [(x - 7, y - 7, x + 7, y + 7), *bars]


def _front(axes: Axes, front: list[Point]) -> list[Box]:
    """Draw the Pareto front as steps; return the boxes that it covers, in pixels."""
    if len(front) < 2:
        return []
    ordered = sorted(front, key=lambda point: (point.x, -point.y))
    x, y = [point.x for point in ordered], [point.y for point in ordered]
    axes.plot(x, y, drawstyle="steps-pre", color=color("accent"), linewidth=1.4, alpha=0.7, zorder=2)
    corners = [(x[0], y[0])]
    for x_next, y_next in zip(x[1:], y[1:], strict=True):
        corners += [(corners[-1][0], y_next), (x_next, y_next)]
    pixels = axes.transData.transform(corners)
    return [_cover(start, end) for start, end in pairwise(pixels)]


def _cover(start: Sequence[float], end: Sequence[float]) -> Box:
    low_x, high_x = sorted((float(start[0]), float(end[0])))
    low_y, high_y = sorted((float(start[1]), float(end[1])))
    return low_x - 1, low_y - 1, high_x + 1, high_y + 1


def _point(axes: Axes, point: Point, *, best: bool) -> None:
    row, x, y, hue = point.row, point.x, point.y, point.hue
    if row.arm != "baseline":
        ends = [end or x for end in row.interval]
        axes.plot(ends, [y, y], color=hue, linewidth=1.2, alpha=0.55, zorder=3)
        if row.quality_loss_low is not None and row.quality_loss_high is not None:
            ends = [-row.quality_loss_high, -row.quality_loss_low]
            axes.plot([x, x], ends, color=hue, linewidth=1.2, alpha=0.4, zorder=3)
    if best:
        axes.plot([x], [y], "o", markersize=17, markerfacecolor="none", markeredgecolor=hue,
                  markeredgewidth=1.6, zorder=4, gid=point.gid)  # fmt: skip
    mark(axes, point, hollow=row.arm == "baseline" or row.budget == NOT_SHOWN)
