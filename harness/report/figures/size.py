"""Bytes on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.columns import best_unit
from harness.report.drawing.canvas import few_ticks
from harness.report.drawing.rows import end_label, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure("size", "Size on disk", "The Artifact's files, and their share of the baseline's.", order=40)
def draw(board: Board) -> Figure | None:
    """Bars of Artifact bytes with the share of the baseline's size."""
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
