"""How the timed calls of a Cell are spread: histogram above, share of calls that are faster (ECDF) below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import SMALL, axis_title, canvas, log_ticks, plot, write
from harness.report.drawing.palette import color
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 420.0, 300.0
FEWEST = 3
BINS, POINTS = 70, 160
FAR = 0.998
"""Quantile at which the axis ends: a few calls that took far longer would leave no room for the others."""


@figure(
    "distribution",
    "Time of a call",
    "Above: how often each time was seen. Below: the share of calls that were faster, with the 50th, 90th "
    "and 99th percentile. Logarithmic.",
    order=10,
    of="cell",
)
def draw(view: CellView) -> Figure | None:
    """Histogram and ECDF of every arm on one logarithmic axis of time."""
    arms = [arm for arm in view.arms if len(arm.calls_s) >= FEWEST]
    if not arms or arms[0] is not view.arms[0]:
        return None
    low = min(float(arm.calls_s.min()) for arm in arms) / 1.05
    high = max(float(np.quantile(arm.calls_s, FAR)) for arm in arms) * 1.08
    unit, name = best_unit([low, high], "s")
    made, below = canvas(WIDTH, HEIGHT, 44, 38, 14, 158)
    above = plot(made, WIDTH, HEIGHT, 44, 156, 14, 36)
    edges = np.geomspace(low, high, BINS + 1) / unit
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        ticks = log_ticks(edges[0], edges[-1], 7)
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks] if axes is below else [""] * len(ticks))
        axes.set_xticks([], minor=True)
        axes.set_yticks([])
    axis_title(below, f"time of one call, {name} (logarithmic)")
    for arm in reversed(arms):
        _histogram(above, arm, edges, unit)
        _ecdf(below, arm, unit)
    above.set_ylim(0, None)
    below.set_ylim(0, 1.02)
    below.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    _key(above, arms)
    return made


def _histogram(axes: Axes, arm: Arm, edges: np.ndarray, unit: float) -> None:
    counts, _ = np.histogram(arm.calls_s / unit, edges)
    shares = counts / len(arm.calls_s)
    axes.stairs(shares, edges, fill=True, color=color(arm.role), alpha=0.25, linewidth=0)
    axes.stairs(shares, edges, color=color(arm.role), linewidth=1.2)


def _ecdf(axes: Axes, arm: Arm, unit: float) -> None:
    shares = np.linspace(0, 1, min(POINTS, len(arm.calls_s)))
    axes.plot(np.quantile(arm.calls_s, shares) / unit, shares, color=color(arm.role), linewidth=1.5)
    for share in (0.5, 0.9, 0.99):
        at = float(np.quantile(arm.calls_s, share)) / unit
        axes.plot([at], [share], "o", color=color(arm.role), markersize=4)


def _key(axes: Axes, arms: list[Arm]) -> None:
    for index, arm in enumerate(arms):
        text = f"{arm.name}: {len(arm.calls_s):,} calls"
        write(axes, 0, 1 + (27 - 15 * index) / 108, text, transform=axes.transAxes, fontsize=SMALL,
              color=color(arm.role), weight="bold")  # fmt: skip
