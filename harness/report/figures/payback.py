"""Total time with the build, over the calls. A build has paid back where its line crosses the baseline's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.drawing.canvas import SMALL, canvas, text_size, write, x_title, y_title
from harness.report.drawing.palette import color, family_of
from harness.report.drawing.svg import MARK
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 440.0, 300.0
LEFT, APART = 52.0, 13.0
BESIDE = 15.0
"""Distance of the names from the plot, pixels."""
MAX_NAME = 170.0
"""Width of a name, pixels: the plot keeps half of the figure."""
FIRST, LAST = 1e2, 1e9
MAX_LINES = 14
"""The fastest techniques are drawn; more names do not fit."""


@figure(
    "payback",
    "Pay-back of the build",
    "Build time plus time of the calls. Below the baseline’s line, time is saved. The mark shows where the "
    "lines cross, if the technique is faster. Both axes are logarithmic.",
    order=20,
    of="family",
)
def draw(board: Board) -> Figure | None:
    """Draw lines of total time by calls on logarithmic axes, with marks at the break-even."""
    rows = [
        r
        for r in board.leading(MAX_LINES).rows
        if r.seconds_per_sample and (r.build_s or r.arm == "baseline")
    ]
    base = next((row for row in rows if row.arm == "baseline"), None)
    if base is None or len(rows) < 2:
        return None
    names = [_name(row) for row in rows]
    right = BESIDE + max(text_size(name, SMALL)[0] for name in names) + 4
    made, axes = canvas(WIDTH, HEIGHT, LEFT, 38, right, 26)
    calls = np.geomspace(*_range(rows), 60)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(calls[0], calls[-1])
    totals = [_total(row, calls) for row in rows]
    low, high = min(float(t[0]) for t in totals) / 1.3, max(float(t[-1]) for t in totals) * 1.3
    axes.set_ylim(low, high)
    _ticks(axes, (calls[0], calls[-1]), (low, high))
    x_title(axes, "calls (logarithmic)")
    y_title(axes, "total time with the build (logarithmic)", 42)
    for row, total in zip(rows, totals, strict=True):
        _line(axes, row, base, calls, total)
    _names(axes, rows, names, totals)
    return made


def _call_s(row: Comparison) -> float:
    """Return the seconds of a call. They follow from the speed-up, so lines cross at the break-even."""
    return (row.seconds_per_sample or 0.0) * max(row.batch or 1, 1)


def _total(row: Comparison, calls: np.ndarray) -> np.ndarray:
    return (row.build_s or 0.0) + _call_s(row) * calls


def _range(rows: list[Comparison]) -> tuple[float, float]:
    """Return the range of calls: from where the build dominates to ten times the last crossing."""
    crossings = [calls for row in rows if (calls := say.break_even_calls(row))]
    last = min(max([*crossings, FIRST * 100]) * 10, LAST)
    return max(min([*crossings, last]) / 100, 1.0), last


def _ticks(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    calls = [10.0**power for power in range(13) if x[0] <= 10.0**power <= x[1]]
    axes.set_xticks(calls, [_count(call) for call in calls])
    seconds = [
        t for t in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36e3, 36e4) if y[0] <= t <= y[1]
    ]
    axes.set_yticks(seconds, [_time(second) for second in seconds])
    for axis in (axes.set_xticks, axes.set_yticks):
        axis([], minor=True)
    for second in seconds:
        axes.axhline(second, color=color("faint"), linewidth=1, zorder=0)


def _time(seconds: float) -> str:
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    unit, name = say.step(seconds, "s")
    return f"{seconds / unit:g} {name}"


def _count(calls: float) -> str:
    unit, name = say.step(calls, "count")
    return f"{calls / unit:g} {name}".rstrip()


def _line(axes: Axes, row: Comparison, base: Comparison, calls: np.ndarray, total: np.ndarray) -> None:
    family, gid = family_of(row.families, row.arm), f"{MARK}{row.cell_id}"
    style = (0, (4, 3)) if row is base else "-"
    axes.plot(calls, total, color=family.role.light, linewidth=1.5, linestyle=style, gid=gid)
    at = say.break_even_calls(row)
    if row is not base and at and calls[0] <= at <= calls[-1]:
        spent = float(_total(row, np.array([at]))[0])
        axes.plot([at], [spent], family.marker, color=family.role.light, markersize=6.5, gid=gid)


def _name(row: Comparison) -> str:
    """Return a technique's name, shortened to the room for names."""
    name = say.short(row.technique, 60)
    while text_size(name, SMALL)[0] > MAX_NAME and len(name) > 6:
        name = say.short(row.technique, len(name) - 1)
    return name


def _names(axes: Axes, rows: list[Comparison], names: list[str], totals: list[np.ndarray]) -> None:
    """Write the names at the right ends of the lines, so that they do not overlap."""
    order = sorted(range(len(rows)), key=lambda index: float(totals[index][-1]))
    area = axes.get_window_extent()
    height, wide = area.height, area.width
    wanted = [
        float(axes.transAxes.inverted().transform(axes.transData.transform((1e3, totals[i][-1])))[1])
        for i in order
    ]
    spots = spread([w * height for w in wanted], APART, height)
    for index, spot in zip(order, spots, strict=True):
        row = rows[index]
        family, gid = family_of(row.families, row.arm), f"{MARK}{row.cell_id}"
        face = color("paper") if row.arm == "baseline" else family.role.light
        axes.plot([1 + 7 / wide], [spot / height], family.marker, transform=axes.transAxes, clip_on=False,
                  markersize=5.5, markerfacecolor=face, markeredgecolor=family.role.light,
                  gid=gid)  # fmt: skip
        write(axes, 1 + BESIDE / wide, spot / height, names[index], transform=axes.transAxes,
              fontsize=SMALL, color=color("ink"), gid=gid)  # fmt: skip


def spread(wanted: list[float], apart: float, top: float) -> list[float]:
    """Move ascending positions apart by at least `apart`, below `top`, in the same order."""
    found: list[float] = []
    for position in wanted:
        found.append(max(position, found[-1] + apart) if found else position)
    limit = top
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], limit)
        limit = found[index] - apart
    return found
