"""What a technique costs once: its build time, and after how many calls that is paid back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.analysis.words.payback import pay_back
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.rows import end_label, rows_figure
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "building",
    "Build time and its pay-back",
    "Logarithmic. Behind the time: after how many calls the longer build is paid back by the faster calls.",
    order=50,
)
def draw(board: Board) -> Figure | None:
    """Dots of build seconds on a logarithmic axis, with the break-even in calls."""
    rows = [(row, row.build_s) for row in board.rows if row.build_s]
    if not rows:
        return None
    values = [build_s for _, build_s in rows]
    low, high = min(values) / 1.6, max(values) * 1.15
    unit, name = say.step(max(values), "s")
    made = rows_figure([row for row, _ in rows], f"build time, {name} (logarithmic)", room=104)
    made.axes.set_xscale("log")
    made.axes.set_xlim(low / unit, high / unit)
    ticks = log_ticks(low / unit, high / unit, 3)
    made.axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    made.axes.set_xticks([], minor=True)
    for index, (row, build_s) in enumerate(rows):
        value, family = build_s / unit, made.families[index]
        made.axes.plot([low / unit, value], [index, index], color=family.role.light, linewidth=1.5, alpha=0.5)
        made.axes.plot(
            [value], [index], family.marker, color=family.role.light, markersize=7, gid=made.gid(index)
        )
        after = f" · {pay_back(row)}" if row.verdict in ("faster", "slower") else ""
        end_label(made, index, value, f"{say.digits(value)}{after}")
    return made.figure
