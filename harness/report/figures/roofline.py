"""The roofline of a Cell, from measured peaks (Williams, Waterman & Patterson 2009, "Roofline")."""

from __future__ import annotations

from harness.analysis.records.roofline import FLOAT, busy_share, flops_by_type
from harness.analysis.words import numbers as say
from harness.analysis.words.peaks import types_in_words
from harness.report.cell import CellView
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.plot import Plot
from harness.report.figures.registry import figure


@figure(
    "roofline",
    "Roofline",
    "The line shows the measured peaks of this machine with these threads: the slope is memory bandwidth, "
    "the level is peak FLOP/s. A dot above the slope reads from caches. Logarithmic.",
    order=30,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Draw achieved FLOP/s while the Session was busy against arithmetic intensity, and the roofline."""
    row = view.row
    intensity, achieved = row.arithmetic_intensity_flops_per_byte, row.achieved_flop_per_s
    peak, bandwidth = row.peak_flop_per_s, view.memory_bandwidth_bytes_per_s
    if not (intensity and achieved and peak and bandwidth):
        return None
    achieved /= busy_share(row)
    ridge = peak / bandwidth
    kinds = types_in_words(flops_by_type(row) or {FLOAT: 1.0})
    low, high = min(intensity, ridge) / 8, max(intensity, ridge) * 8
    bottom, top = min(achieved, low * bandwidth) / 2, max(achieved, peak) * 2
    unit, name = say.step(peak, "FLOP/s")
    made = Plot(420, 260, 58, 38, 14, 30)
    x, y = made.x(low, high, log=True), made.y(bottom, top, log=True)
    across = [(tick, f"{tick:g}") for tick in log_ticks(low, high, 6)]
    upward = [(tick * unit, f"{tick:,g}") for tick in log_ticks(bottom / unit, top / unit, 5)]
    made.frame(x, across, y, upward, "arithmetic intensity, FLOP/byte (logarithmic)")
    made.text(2, 12, f"achieved, {name} (logarithmic)", "muted")
    made.line([(x(low), y(low * bandwidth)), (x(ridge), y(peak)), (x(high), y(peak))], "muted", 1.5)
    made.text(x(high), y(peak) - 6, f"{kinds} peak {say.quantity(peak, 'FLOP/s')}", "muted", "end")
    made.dots([(x(intensity), y(achieved))], "accent", 9)
    anchor = "end" if x(intensity) > made.width / 2 else "start"
    shift = -9 if anchor == "end" else 9
    text = f"{say.short(row.technique, 24)}: {say.percent(achieved / peak)}"
    made.text(x(intensity) + shift, y(achieved) + 14, text, "ink", anchor, bold=True)
    return made.svg(f"Roofline of {say.short(row.technique, 60)}")
