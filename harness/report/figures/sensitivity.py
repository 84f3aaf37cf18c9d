"""How much each layer's quantization alone damages the answers, and which layers stayed in float."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.analysis import wording as say
from harness.analysis.frames import Row
from harness.report.cell import CellView
from harness.report.drawing.canvas import SMALL, axis_title, canvas, few_ticks, text_size, write
from harness.report.drawing.palette import color
from harness.report.figures.registry import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, LINE = 420.0, 17.0
MOST, NAME = 30, 26


@figure(
    "sensitivity",
    "Sensitivity of each layer",
    "Signal to quantization noise of the outputs with this layer alone in int8: less is worse. Hollow: left "
    "in float.",
    order=40,
    of="cell",
)
def draw(view: CellView) -> Figure | None:
    """One line a layer, the worst above; at most `MOST` of them."""
    layers = measured(view.row)[:MOST]
    if not layers:
        return None
    names = [say.short(str(layer["name"]), NAME) for layer in layers]
    left = max(text_size(name, SMALL)[0] for name in names) + 14
    made, axes = canvas(WIDTH, LINE * len(layers) + 52, left, 40, 64, 12)
    values = [float(layer["sqnr_db"]) for layer in layers]
    low, high = min(0.0, *values), max(*values, 1.0) * 1.05
    axes.set_xlim(low, high)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(few_ticks())
    axis_title(axes, "signal to quantization noise, dB")
    for index, layer in enumerate(layers):
        role = color("warn" if layer.get("in_float") else "accent")
        fill = color("paper") if layer.get("in_float") else role
        axes.plot([low, values[index]], [index, index], color=color("faint"), linewidth=1.5)
        axes.plot([values[index]], [index], "o", markersize=6, markeredgecolor=role, markerfacecolor=fill)
        write(axes, -8 / (WIDTH - left - 64), index, names[index], transform=axes.get_yaxis_transform(),
              fontsize=SMALL, ha="right")  # fmt: skip
        text = f"{say.digits(values[index])}{' float' if layer.get('in_float') else ''}"
        write(axes, 1.02, index, text, transform=axes.get_yaxis_transform(), fontsize=SMALL)
    return made


def measured(row: Row) -> list[dict[str, Any]]:
    """Return the layers that a build step of the Record measured, the worst first; none where none did."""
    try:
        steps = json.loads(row.get("build_details") or "[]")
    except (TypeError, ValueError):
        return []
    details = [step.get("details") for step in steps if isinstance(step, dict)]
    told = [each.get("sensitivity") for each in details if isinstance(each, dict)]
    layers = [layer for one in told if isinstance(one, list) for layer in one if isinstance(layer, dict)]
    known = [layer for layer in layers if isinstance(layer.get("sqnr_db"), (int, float)) and "name" in layer]
    return sorted(known, key=lambda layer: float(layer["sqnr_db"]))
