"""The distribution of a Cell's timed calls: a histogram and the empirical distribution function (ECDF).

Each Trial has the same weight, however many calls it made (stats/quantiles.py, `mixture`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.words import numbers as say
from harness.analysis.words.headline import call_of
from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.plot import Plot, Scale
from harness.report.figures.registry import figure
from harness.stats.quantiles import Percentile, mixture

MIN_CALLS = 3
BINS, POINTS = 70, 160
FAR = 0.998
"""Quantile at which the axis ends, so that a few very slow calls do not squeeze the others."""
MARKED = (0.5, 0.9, 0.99)


@figure(
    "distribution",
    "Distribution of call times",
    "Line: the share of calls that were faster; each Trial has the same weight. Dots: the 50th, 90th and "
    "99th percentile, if enough calls were timed. Shaded: the histogram. Logarithmic.",
    order=10,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Draw the histogram and the ECDF of each arm on one logarithmic time axis."""
    arms = [spread_of(arm) for arm in view.arms if arm.calls >= MIN_CALLS]
    if not arms or arms[0].arm is not view.arms[0]:
        return None
    low = max(min(float(arm.values[0]) for arm in arms) / 1.05, 1e-9)
    high = max(max(arm.far for arm in arms) * 1.08, low * 1.1)
    unit, name = best_unit([low, high], "s")
    made = Plot(420, 280, 44, 38, 14, 44)
    x, y = made.x(low, high, log=True), made.y(0, 1)
    ticks = [(tick * unit, f"{tick:,g}") for tick in log_ticks(low / unit, high / unit, 6)]
    title = f"{call_of(view.board.group)}, {name} (logarithmic)"
    made.frame(x, ticks, y, [(0, "0"), (0.5, "50 %"), (1, "100 %")], title)
    edges = np.geomspace(low, high, BINS + 1)
    for arm in reversed(arms):
        _histogram(made, arm, edges, x, y)
        _ecdf(made, arm, x, y)
    for index, arm in enumerate(arms):
        said = f"{arm.arm.name}: {arm.values.size:,} calls"
        made.text(44, 14 + 15 * index, said, arm.arm.role, bold=True)
    return made.svg(f"Call times of {say.short(view.row.technique, 60)} and of the baseline")


@dataclass(frozen=True)
class Spread:
    """An arm's times in seconds, ascending, and their weights (sum 1 per Trial).

    `marks`: the percentiles that are known from enough calls.
    """

    arm: Arm
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    marks: list[Percentile]
    far: float


def spread_of(arm: Arm) -> Spread:
    """Sort an arm's times; each Trial has the same weight."""
    values = np.concatenate(arm.trials_s)
    weights = np.concatenate([np.full(part.size, 1 / part.size) for part in arm.trials_s])
    order = np.argsort(values, kind="stable")
    *marks, far = mixture(arm.trials_s, [*MARKED, FAR])
    return Spread(arm, values[order], weights[order], [mark for mark in marks if mark.allowed], far.value)


def _histogram(made: Plot, spread: Spread, edges: NDArray[np.float64], x: Scale, y: Scale) -> None:
    counts, _ = np.histogram(spread.values, edges, weights=spread.weights)
    heights = counts / (float(counts.max()) or 1.0)
    ends = zip(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), strict=True)
    made.area([(x(float(edge)), y(float(height))) for edge, height in ends], spread.arm.role)


def _ecdf(made: Plot, spread: Spread, x: Scale, y: Scale) -> None:
    reached = np.cumsum(spread.weights)
    shares = np.linspace(0, 1, min(POINTS, spread.values.size))
    places = np.searchsorted(reached, (shares - 1e-9) * reached[-1])
    times = spread.values[np.minimum(places, spread.values.size - 1)]
    role = spread.arm.role
    made.line([(x(float(t)), y(float(s))) for t, s in zip(times, shares, strict=True)], role, 1.5)
    made.dots([(x(mark.value), y(mark.q)) for mark in spread.marks], role, 6)
