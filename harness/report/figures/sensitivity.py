"""How much each layer changes the outputs if only it is quantized, most sensitive first."""

from __future__ import annotations

from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.records.columns import parsed
from harness.analysis.words import numbers as say
from harness.report.cell import CellView
from harness.report.drawing.plot import Plot
from harness.report.figures.registry import figure

MAX_LAYERS = 24
NOTE = (
    "Signal-to-quantization-noise ratio at the outputs if only this layer is quantized. A short bar means a "
    "sensitive layer. Hollow: left in float. Percent: the layer’s share of the FLOPs."
)


@figure("sensitivity", "Sensitivity by layer", NOTE, order=30, of="family")
def draw(board: Board) -> str | None:
    """Draw the layers of the fastest Cell that measured them."""
    return next((made for row in board.rows if (made := layers_figure(row))), None)


@figure("sensitivity-cell", "Sensitivity by layer", NOTE, order=40, of="cell")
def draw_cell(view: CellView) -> str | None:
    """Draw the layers of the Cell."""
    return layers_figure(view.row)


def layers_figure(row: Comparison) -> str | None:
    """Draw one bar per layer in decibels; return None if the build measured none."""
    layers = measured_layers(row)
    if not layers:
        return None
    shown = layers[:MAX_LAYERS]
    made = Plot(420, 56 + 18 * len(shown), 150, 38, 92, 18)
    known = [layer["sqnr_db"] for layer in shown if layer.get("sqnr_db") is not None]
    low, high = min([0.0, *known]), max([1.0, *known])
    x = made.x(low, high)
    ticks = [(value, f"{value:g}") for value in (0.0, 20.0, 40.0, 60.0, 80.0) if low <= value <= high]
    made.frame(x, ticks, made.y(0, 1), [], "signal-to-quantization-noise ratio, dB")
    for index, layer in enumerate(shown):
        _bar(
            made,
            layer,
            18 + 18 * index + 9,
            x(low),
            x(layer["sqnr_db"] if layer.get("sqnr_db") is not None else high),
        )
    more = f", {len(layers) - MAX_LAYERS} less sensitive layers not shown" if len(layers) > MAX_LAYERS else ""
    made.text(2, 11, f"{say.short(row.technique, 40)}, most sensitive first{more}", "muted")
    return made.svg(f"Sensitivity by layer of {say.short(row.technique, 60)}")


def measured_layers(row: Comparison) -> list[dict[str, Any]]:
    """Return the layers that a build step measured, most sensitive first."""
    for step in parsed(row.build_details, list):
        found = (step.get("details") or {}).get("sensitivity") if isinstance(step, dict) else None
        if isinstance(found, list) and all(isinstance(layer, dict) for layer in found):
            noise = [layer.get("sqnr_db") for layer in found]
            order = sorted(range(len(found)), key=lambda i: float("inf") if noise[i] is None else noise[i])
            return [found[i] for i in order]
    return []


def _bar(made: Plot, layer: dict[str, Any], y: float, start: float, end: float) -> None:
    box = [(start, y - 5), (end, y - 5), (end, y + 5), (start, y + 5), (start, y - 5)]
    if layer.get("in_float"):
        made.line(box, "warn", 1.2)
    else:
        made.line([(start, y), (end, y)], "f-quantize", 9)
    made.text(144, y + 3.5, say.short(str(layer.get("name") or "?"), 22), "ink", "end")
    share, noise = layer.get("flops_share"), layer.get("sqnr_db")
    said = "no noise" if noise is None else f"{noise:.0f} dB"
    made.text(end + 6, y + 3.5, said + ("" if share is None else f" · {say.percent(share)}"), "muted")
