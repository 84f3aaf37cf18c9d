"""A Cell below the machine's measured roofs (Williams, Waterman & Patterson 2009, "Roofline")."""

from __future__ import annotations

from harness.analysis.records.roofline import FLOAT, busy_share, flops_by_type
from harness.analysis.words import numbers as say
from harness.analysis.words.peaks import types_in_words
from harness.report.cell import CellView
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.light import Light
from harness.report.figures.registry import figure


@figure(
    "roofline",
    "Roofline",
    "The line is the most that this machine was measured to do with these threads: on its slope memory is "
    "the limit, on its level arithmetic is. A dot above the slope is fed by caches. Logarithmic.",
    order=30,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Achieved FLOP/s, while the Session was busy, against arithmetic intensity; the roof above."""
    row = view.row
    intensity, achieved = row.arithmetic_intensity_flops_per_byte, row.achieved_flop_per_s
    peak, copy = row.peak_flop_per_s, view.memory_bandwidth_bytes_per_s
    if not (intensity and achieved and peak and copy):
        return None
    achieved /= busy_share(row)
    ridge = peak / copy
    kinds = types_in_words(flops_by_type(row) or {FLOAT: 1.0})
    low, high = min(intensity, ridge) / 8, max(intensity, ridge) * 8
    bottom, top = min(achieved, low * copy) / 2, max(achieved, peak) * 2
    unit, name = say.step(peak, "FLOP/s")
    made = Light(420, 260, 58, 38, 14, 30)
    x, y = made.x(low, high, log=True), made.y(bottom, top, log=True)
    across = [(tick, f"{tick:g}") for tick in log_ticks(low, high, 6)]
    upward = [(tick * unit, f"{tick:,g}") for tick in log_ticks(bottom / unit, top / unit, 5)]
    made.frame(x, across, y, upward, "arithmetic intensity, FLOP a byte (logarithmic)")
    made.text(2, 12, f"achieved, {name} (logarithmic)", "muted")
    made.line([(x(low), y(low * copy)), (x(ridge), y(peak)), (x(high), y(peak))], "muted", 1.5)
    made.text(x(high), y(peak) - 6, f"{kinds} roof {say.quantity(peak, 'FLOP/s')}", "muted", "end")
    made.dots([(x(intensity), y(achieved))], "accent", 9)
    anchor = "end" if x(intensity) > made.width / 2 else "start"
    shift = -9 if anchor == "end" else 9
    text = f"{say.short(row.technique, 24)}: {say.percent(achieved / peak)}"
    made.text(x(intensity) + shift, y(achieved) + 14, text, "ink", anchor, bold=True)
    return made.svg(f"Roofline of {say.short(row.technique, 60)}")
