"""The Blocks of a Cell and of its baseline in the order of measurement, with noise marked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from harness.analysis.compare.timing import TrialKey
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import call_of
from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import log_ticks
from harness.report.drawing.plot import Plot, Scale
from harness.report.figures.registry import figure

MAX_NAMED = 8
"""With more Trials, the axis does not name them."""


@figure(
    "blocks",
    "Block by Block",
    "Each dot is the median of a Block. Dots above each other ran in the same round. Ringed: a Block with "
    "noise. Vertical lines separate Trials. Logarithmic.",
    order=20,
    of="cell",
)
def draw(view: CellView) -> str | None:
    """Draw dots of Block medians by round, one Trial after the other."""
    arms = [arm for arm in view.arms if (arm.blocks["median_s"] > 0).any()]
    if not arms or arms[0] is not view.arms[0]:
        return None
    values = np.concatenate([arm.blocks["median_s"].to_numpy(dtype=float) for arm in arms])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = float(values.min()) / 1.06, float(values.max()) * 1.06
    unit, name = best_unit([low, high], "s")
    starts, end = _trials(arms)
    made = Plot(420, 280, 52, 38, 14, 62)
    x, y = made.x(-1, end), made.y(low, high, log=True)
    ticks = [(tick * unit, f"{tick:,g}") for tick in log_ticks(low / unit, high / unit, 6)]
    named = list(starts.items()) if len(starts) <= MAX_NAMED else []
    middles = [(a + b) / 2 - 1 for a, b in pairwise([*starts.values(), end])]
    trials = [(at, f"Trial {trial + 1}") for ((_, trial), _), at in zip(named, middles, strict=False)]
    made.frame(x, trials, y, ticks, "rounds, in the order of measurement")
    for start in list(starts.values())[1:]:
        made.line([(x(start - 1), made.top), (x(start - 1), made.height - made.bottom)], "line", 1)
    for arm in reversed(arms):
        _dots(made, arm, starts, x, y)
    made.text(10, 46, f"{call_of(view.board.group)}, median of a Block, {name}", "muted")
    for index, arm in enumerate(arms):
        made.text(52, 14 + 15 * index, f"{arm.name}: {len(arm.blocks):,} Blocks", arm.role, bold=True)
    return made.svg(f"Blocks of {say.short(view.row.technique, 60)} and of the baseline")


def _trials(arms: list[Arm]) -> tuple[dict[TrialKey, int], int]:
    """Return where each Trial starts on the axis, and where the last one ends."""
    last: dict[TrialKey, int] = {}
    for arm in arms:
        columns = (arm.blocks[name] for name in ("sitting", "trial", "round"))
        for sitting, trial, round_ in zip(*columns, strict=True):
            last[sitting, int(trial)] = max(last.get((sitting, int(trial)), 0), int(round_))
    starts, at = {}, 0
    for trial in sorted(last):
        starts[trial] = at
        at += last[trial] + 2
    return starts, at


def _dots(made: Plot, arm: Arm, starts: dict[TrialKey, int], x: Scale, y: Scale) -> None:
    columns = (arm.blocks[name] for name in ("sitting", "trial", "round", "median_s", "tags"))
    points = [
        ((x(starts[sitting, int(trial)] + int(round_)), y(float(median))), tags is not None and len(tags) > 0)
        for sitting, trial, round_, median, tags in zip(*columns, strict=True)
        if median > 0
    ]
    made.dots([point for point, _ in points], arm.role, 4)
    made.rings([point for point, noisy in points if noisy], "warn", 3.6)
