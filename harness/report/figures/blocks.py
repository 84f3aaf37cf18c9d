"""The Blocks of a Cell one after the other, beside its baseline's, with what disturbed them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.report.cell import Arm, CellView
from harness.report.columns import best_unit
from harness.report.drawing.canvas import SMALL, axis_title, canvas, log_ticks, write
from harness.report.drawing.palette import color
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 420.0, 300.0


@figure(
    "blocks",
    "Block by Block",
    "Each dot is a Block’s median call; dots above each other ran in the same round. Ringed: something "
    "disturbed the machine. Lines part the Trials. Logarithmic.",
    order=20,
    of="cell",
)
def draw(view: CellView) -> Figure | None:
    """Dots of Block medians by round, Trials beside each other."""
    arms = [arm for arm in view.arms if (arm.blocks["median_s"] > 0).any()]
    if not arms or arms[0] is not view.arms[0]:
        return None
    starts, ends = _trials(arms)
    values = np.concatenate([arm.blocks["median_s"].to_numpy(dtype=float) for arm in arms])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = float(values.min()) / 1.06, float(values.max()) * 1.06
    unit, name = best_unit([low, high], "s")
    made, axes = canvas(WIDTH, HEIGHT, 52, 38, 14, 54)
    axes.set_yscale("log")
    axes.set_ylim(low / unit, high / unit)
    ticks = log_ticks(low / unit, high / unit, 6)
    axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlim(-1, ends)
    for tick in ticks:
        axes.axhline(tick, color=color("faint"), linewidth=1, zorder=0)
    _parts(axes, starts, ends)
    for arm in reversed(arms):
        _dots(axes, arm, starts, unit)
    axis_title(axes, "rounds, in the order they were measured")
    _key(axes, arms, name)
    return made


def _trials(arms: list[Arm]) -> tuple[dict[int, int], int]:
    """Lay the Trials beside each other: where each starts, and where the last one ends."""
    starts: dict[int, int] = {}
    at = 0
    for trial in sorted({int(t) for arm in arms for t in arm.blocks["trial"]}):
        starts[trial] = at
        last = max(int(arm.blocks.loc[arm.blocks["trial"] == trial, "round"].max()) for arm in arms
                   if (arm.blocks["trial"] == trial).any())  # fmt: skip
        at += last + 2
    return starts, at


def _parts(axes: Axes, starts: dict[int, int], end: int) -> None:
    edges = [*starts.values(), end]
    for start in list(starts.values())[1:]:
        axes.axvline(start - 1, color=color("line"), linewidth=1, zorder=0)
    named = len(starts) <= 8
    middles = [(start + after) / 2 - 1 for start, after in pairwise(edges)]
    axes.set_xticks(middles if named else [], [f"Trial {trial + 1}" for trial in starts] if named else [])


def _dots(axes: Axes, arm: Arm, starts: dict[int, int], unit: float) -> None:
    blocks = arm.blocks
    x = np.array([starts[int(t)] for t in blocks["trial"]]) + blocks["round"].to_numpy(dtype=float)
    y = blocks["median_s"].to_numpy(dtype=float) / unit
    noisy = np.array([len(tags) > 0 if tags is not None else False for tags in blocks["tags"]], dtype=bool)
    hue = color(arm.role)
    axes.plot(x, y, "o", color=hue, markersize=3.2, linewidth=0)
    axes.plot(x[noisy], y[noisy], "o", markersize=6.5, markerfacecolor="none", linewidth=0,
              markeredgecolor=color("warn"), markeredgewidth=0.9)  # fmt: skip


def _key(axes: Axes, arms: list[Arm], unit: str) -> None:
    up = 1 / (HEIGHT - 92)
    write(axes, -42 / (WIDTH - 66), 1 + 12 * up, f"median call of a Block, {unit}", transform=axes.transAxes,
          fontsize=SMALL, color=color("muted"))  # fmt: skip
    for index, arm in enumerate(arms):
        text = f"{arm.name}: {len(arm.blocks):,} Blocks"
        write(axes, 0, 1 + (42 - 15 * index) * up, text, transform=axes.transAxes, fontsize=SMALL,
              color=color(arm.role), weight="bold")  # fmt: skip
