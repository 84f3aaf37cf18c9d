"""Peak resident memory by phase: the runtime alone, and what the model adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.columns import peak_memory
from harness.report.drawing.canvas import few_ticks
from harness.report.drawing.palette import color
from harness.report.drawing.rows import Rows, end_label, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "memory",
    "Memory by phase",
    "Gray: the process with the runtime imported and no model. Color: what the model and its calls add. "
    "Ticks: the peaks while loading, in the first call and in the timed Blocks.",
    order=30,
)
def draw(board: Board) -> Figure | None:
    """Draw bars of peak resident memory, the empty process in gray."""
    rows = [row for row in board.rows if peak_memory(row)]
    if not rows:
        return None
    top = max(peak_memory(row) or 0.0 for row in rows)
    unit, name = say.step(top, "bytes")
    made = rows_figure(rows, f"peak resident memory, {name}", room=52)
    made.axes.set_xlim(0, top / unit)
    made.axes.xaxis.set_major_locator(few_ticks())
    for index in range(len(rows)):
        _bar(made, index, unit)
    return made.figure


def _bar(made: Rows, index: int, unit: float) -> None:
    row, family = made.rows[index], made.families[index]
    empty, peak = (row.rss_empty_bytes or 0) / unit, (peak_memory(row) or 0.0) / unit
    gid = made.gid(index)
    made.axes.barh(index, empty, height=0.5, color=color("line"))
    made.axes.barh(index, max(peak - empty, 0), left=empty, height=0.5, color=family.role.light)
    for patch in made.axes.patches[-2:]:
        patch.set_gid(gid)
    for phase in (row.peak_rss_load_bytes, row.peak_rss_first_call_bytes, row.peak_rss_steady_bytes):
        if phase:
            at = phase / unit
            made.axes.plot([at, at], [index - 0.33, index + 0.33], color=color("ink"), linewidth=1.2)
    end_label(made, index, peak, say.digits(peak))
