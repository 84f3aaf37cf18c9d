"""How the timed calls of a Cell are spread: how often each time was seen, and the share faster (ECDF)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analysis import wording as say
from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.light import Light, Scale
from harness.report.figures.registry import figure

FEWEST = 3
BINS, POINTS = 70, 160
FAR = 0.998
"""Quantile at which the axis ends: a few calls that took far longer would leave no room for the others."""


@figure(
    "distribution",
    "Time of a call",
    "Line: the share of calls that were faster, with the 50th, 90th and 99th percentile. Shaded: how often "
    "each time was seen, the most frequent at full height. Logarithmic.",
    order=10,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Histogram and ECDF of every arm on one logarithmic axis of time."""
    arms = [arm for arm in view.arms if len(arm.calls_s) >= FEWEST]
    if not arms or arms[0] is not view.arms[0]:
        return None
    low = max(min(float(arm.calls_s.min()) for arm in arms) / 1.05, 1e-9)
    high = max(max(float(np.quantile(arm.calls_s, FAR)) for arm in arms) * 1.08, low * 1.1)
    unit, name = best_unit([low, high], "s")
    made = Light(420, 280, 44, 38, 14, 44)
    x, y = made.x(low, high, log=True), made.y(0, 1)
    ticks = [(tick * unit, f"{tick:,g}") for tick in log_ticks(low / unit, high / unit, 6)]
    made.frame(
        x, ticks, y, [(0, "0"), (0.5, "50 %"), (1, "100 %")], f"time of one call, {name} (logarithmic)"
    )
    edges = np.geomspace(low, high, BINS + 1)
    for arm in reversed(arms):
        _histogram(made, arm, edges, x, y)
        _ecdf(made, arm, x, y)
    for index, arm in enumerate(arms):
        made.text(44, 14 + 15 * index, f"{arm.name}: {len(arm.calls_s):,} calls", arm.role, bold=True)
    return made.svg(f"Distribution of {say.short(view.row['technique'], 60)}’s calls beside the baseline’s")


def _histogram(made: Light, arm: Arm, edges: NDArray[np.float64], x: Scale, y: Scale) -> None:
    counts, _ = np.histogram(arm.calls_s, edges)
    heights = counts / max(int(counts.max()), 1)
    ends = zip(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), strict=True)
    made.area([(x(float(edge)), y(float(height))) for edge, height in ends], arm.role)


def _ecdf(made: Light, arm: Arm, x: Scale, y: Scale) -> None:
    shares = np.linspace(0, 1, min(POINTS, len(arm.calls_s)))
    times = np.quantile(arm.calls_s, shares)
    made.line([(x(float(t)), y(float(s))) for t, s in zip(times, shares, strict=True)], arm.role, 1.5)
    marks = (0.5, 0.9, 0.99)
    made.dots([(x(float(np.quantile(arm.calls_s, share))), y(share)) for share in marks], arm.role, 6)
