"""What an Artifact costs: its size on disk, its build time, and the calls that pay the build back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.columns import best_unit
from harness.report.drawing.canvas import few_ticks, log_axis
from harness.report.drawing.rows import end_label, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "size", "Size on disk", "Size of the Artifact's files. Percent: share of the baseline's size.", order=40
)
def draw_size(board: Board) -> Figure | None:
    """Draw bars of Artifact bytes."""
    rows = [(row, row.artifact_bytes) for row in board.rows if row.artifact_bytes]
    if not rows:
        return None
    top = max(size for _, size in rows)
    unit, name = best_unit([size for _, size in rows], "bytes")
    made = rows_figure([row for row, _ in rows], f"Artifact size, {name}", room=84)
    made.axes.set_xlim(0, top / unit)
    made.axes.xaxis.set_major_locator(few_ticks())
    for index, (row, size) in enumerate(rows):
        value = size / unit
        (bar,) = made.axes.barh(index, value, height=0.5, color=made.families[index].role.light)
        bar.set_gid(made.gid(index))
        share = row.size_ratio
        beside = "" if share is None or row.arm == "baseline" else f" · {say.percent(share)}"
        end_label(made, index, value, f"{say.digits(value)}{beside}")
    return made.figure


@figure(
    "building",
    "Build time",
    "Logarithmic. After the time: how many calls pay the longer build back.",
    order=50,
)
def draw_build(board: Board) -> Figure | None:
    """Draw dots of build seconds on a logarithmic axis, with the break-even in calls."""
    rows = [(row, row.build_s) for row in board.rows if row.build_s]
    if not rows:
        return None
    values = [build_s for _, build_s in rows]
    low, high = min(values) / 1.6, max(values) * 1.15
    unit, name = say.step(max(values), "s")
    made = rows_figure([row for row, _ in rows], f"build time, {name} (logarithmic)", room=104)
    log_axis(made.axes, "x", low / unit, high / unit, 3)
    for index, (row, build_s) in enumerate(rows):
        value, family, gid = build_s / unit, made.families[index], made.gid(index)
        hue = family.role.light
        made.axes.plot([low / unit, value], [index, index], color=hue, linewidth=1.5, alpha=0.5)
        made.axes.plot([value], [index], family.marker, color=hue, markersize=7, gid=gid)
        after = f" · {say.pay_back(row)}" if row.verdict in ("faster", "slower") else ""
        end_label(made, index, value, f"{say.digits(value)}{after}")
    return made.figure
