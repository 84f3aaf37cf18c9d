"""Speed-up against size of a family's techniques in one Group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.drawing.canvas import (
    SMALL,
    TEXT,
    axis_title,
    canvas,
    log_ticks,
    name_point,
    rim,
    text_size,
    write,
)
from harness.report.drawing.labels import place
from harness.report.drawing.palette import color, family_of
from harness.report.drawing.svg import MARK
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 440.0, 300.0


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
    points = [(r, (r.size_ratio, r.speedup)) for r in board.rows if r.speedup and r.size_ratio]
    if len(points) < 2:
        return None
    made, axes = canvas(WIDTH, HEIGHT, 46, 38, 16, 26)
    _axis(axes, "x", [size for _, (size, _) in points], "%")
    speeds = [speed for _, (_, speed) in points]
    ends = [end for row, (_, y) in points for end in (row.speedup_low or y, row.speedup_high or y)]
    # A very wide interval must not squeeze the others: ends count up to twice the estimates.
    low, high = min(speeds) / 2, max(speeds) * 2
    _axis(axes, "y", [min(max(end, low), high) for end in ends], "×")
    axis_title(axes, "size, share of the baseline’s (logarithmic)")
    write(axes, -36 / (WIDTH - 62), 1 + 14 / (HEIGHT - 64), "speed-up over the baseline (logarithmic)",
          transform=axes.transAxes, fontsize=SMALL, color=color("muted"))  # fmt: skip
    for row, at in sorted(points, key=lambda point: point[0].cell_id == board.best):  # the best is on top
        _point(axes, row, at)
    _labels(axes, points)
    return made


def _axis(axes: Axes, which: str, values: list[float], unit: str) -> None:
    low, high = min([*values, 1.0]) / 1.3, max([*values, 1.0]) * 1.3
    ticks = log_ticks(low, high, 6)
    texts = [f"{100 * tick:g} %" if unit == "%" else f"{tick:g} ×" for tick in ticks]
    for name, given in (("scale", ("log",)), ("lim", (low, high)), ("ticks", (ticks, texts))):
        getattr(axes, f"set_{which}{name}")(*given)
    getattr(axes, f"set_{which}ticks")([], minor=True)
    line = axes.axvline if which == "x" else axes.axhline
    for tick in ticks:
        line(tick, color=color("line" if tick == 1 else "faint"), linewidth=1, zorder=0)


def _point(axes: Axes, row: Comparison, at: tuple[float, float]) -> None:
    family, gid = family_of(row.families, row.arm), f"{MARK}{row.cell_id}"
    (x, y), hue = at, family.role.light
    axes.plot([x, x], [row.speedup_low or y, row.speedup_high or y], color=hue, linewidth=1.2, alpha=0.55)
    face = color("paper") if row.arm == "baseline" or row.within_budget is False else hue
    rim(axes, (x, y), family.marker)
    axes.plot([x], [y], family.marker, markersize=8.5, markerfacecolor=face, markeredgecolor=hue,
              markeredgewidth=1.6, zorder=5, gid=gid)  # fmt: skip


def _labels(axes: Axes, points: list[tuple[Comparison, tuple[float, float]]]) -> None:
    names = [say.short(row.technique, 24) for row, _ in points]
    pixels = [tuple(axes.transData.transform(at)) for _, at in points]
    area = axes.get_window_extent()
    bounds = (area.x0, area.y0, area.x1 + 10, area.y1 + 4)
    found = place(pixels, [text_size(name, TEXT) for name in names], bounds, [], [], radius=7)
    for (row, at), name, spot in zip(points, names, found, strict=True):
        if spot is not None:
            tone = color("muted" if row.arm == "baseline" else "ink")
            name_point(axes, at, spot, name, color=tone, gid=f"{MARK}{row.cell_id}")
