"""How the timed calls of a Cell are spread: how often each time was seen, and the share faster (ECDF).

Each Trial counts the same, however many calls it made, as everywhere (stats/quantiles.py, `mixture`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.words import numbers as say
from harness.analysis.words.headline import sample_of
from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.light import Light, Scale
from harness.report.figures.registry import figure
from harness.stats import Percentile, mixture

FEWEST = 3
BINS, POINTS = 70, 160
FAR = 0.998
"""Quantile at which the axis ends: a few calls that took far longer would leave no room for the others."""
MARKED = (0.5, 0.9, 0.99)


@figure(
    "distribution",
    "How long it took",
    "Line: the share that was faster, each Trial counting the same. Dots: the 50th, 90th and 99th "
    "percentile, where enough was timed to know them. Shaded: how often each time was seen. Logarithmic.",
    order=10,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Histogram and ECDF of every arm on one logarithmic axis of time."""
    arms = [spread_of(arm) for arm in view.arms if arm.calls >= FEWEST]
    if not arms or arms[0].arm is not view.arms[0]:
        return None
    low = max(min(float(arm.values[0]) for arm in arms) / 1.05, 1e-9)
    high = max(max(arm.far for arm in arms) * 1.08, low * 1.1)
    unit, name = best_unit([low, high], "s")
    made = Light(420, 280, 44, 38, 14, 44)
    x, y = made.x(low, high, log=True), made.y(0, 1)
    ticks = [(tick * unit, f"{tick:,g}") for tick in log_ticks(low / unit, high / unit, 6)]
    title = f"{sample_of(view.board.group)}, {name} (logarithmic)"
    made.frame(x, ticks, y, [(0, "0"), (0.5, "50 %"), (1, "100 %")], title)
    edges = np.geomspace(low, high, BINS + 1)
    for arm in reversed(arms):
        _histogram(made, arm, edges, x, y)
        _ecdf(made, arm, x, y)
    for index, arm in enumerate(arms):
        said = f"{arm.arm.name}: {arm.values.size:,} timed"
        made.text(44, 14 + 15 * index, said, arm.arm.role, bold=True)
    return made.svg(f"Distribution of {say.short(view.row.technique, 60)}’s times beside the baseline’s")


@dataclass(frozen=True)
class Spread:
    """An arm's times in seconds, ascending, their weights (1 for each Trial), and percentiles.

    `marks` are those percentiles that enough was timed for.
    """

    arm: Arm
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    marks: list[Percentile]
    far: float


def spread_of(arm: Arm) -> Spread:
    """Sort an arm's times; each Trial counts the same."""
    values = np.concatenate(arm.trials_s)
    weights = np.concatenate([np.full(part.size, 1 / part.size) for part in arm.trials_s])
    order = np.argsort(values, kind="stable")
    *marks, far = mixture(arm.trials_s, [*MARKED, FAR])
    return Spread(arm, values[order], weights[order], [mark for mark in marks if mark.allowed], far.value)


def _histogram(made: Light, spread: Spread, edges: NDArray[np.float64], x: Scale, y: Scale) -> None:
    counts, _ = np.histogram(spread.values, edges, weights=spread.weights)
    heights = counts / (float(counts.max()) or 1.0)
    ends = zip(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), strict=True)
    made.area([(x(float(edge)), y(float(height))) for edge, height in ends], spread.arm.role)


def _ecdf(made: Light, spread: Spread, x: Scale, y: Scale) -> None:
    reached = np.cumsum(spread.weights)
    shares = np.linspace(0, 1, min(POINTS, spread.values.size))
    places = np.searchsorted(reached, (shares - 1e-9) * reached[-1])
    times = spread.values[np.minimum(places, spread.values.size - 1)]
    role = spread.arm.role
    made.line([(x(float(t)), y(float(s))) for t, s in zip(times, shares, strict=True)], role, 1.5)
    made.dots([(x(mark.value), y(mark.q)) for mark in spread.marks], role, 6)
