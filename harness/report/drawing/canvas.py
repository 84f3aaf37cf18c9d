"""An empty figure in the site's style, and the size of texts. One unit is one pixel of the SVG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.report.drawing.labels import Placed, nearest_edge
from harness.report.drawing.palette import color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

DPI = 72
TEXT = 11.0
SMALL = 10.0


def canvas(
    width: float, height: float, left: float, bottom: float, right: float = 10.0, top: float = 10.0
) -> tuple[Figure, Axes]:
    """Return a figure of `width` × `height` pixels with one plot inside the given margins."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.patch.set_visible(False)
    area = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(area)
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(color("line"))
        spine.set_linewidth(1.0)
    axes.tick_params(
        axis="both",
        which="both",
        length=0,
        pad=5,
        labelsize=SMALL,
        labelcolor=color("muted"),
        color=color("line"),
    )
    axes.set_axisbelow(True)
    return figure, axes


@cache
def text_size(text: str, size: float = TEXT, weight: str = "normal") -> tuple[float, float]:
    """Return width and height of a text in pixels in DejaVu Sans, which is wider than most screen fonts."""
    import logging
    import warnings

    from matplotlib.text import Text

    figure, renderer = _probe()
    artist = Text(0, 0, text, fontsize=size, fontweight=weight, parse_math=False, figure=figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        box = artist.get_window_extent(renderer)
    return float(box.width), float(box.height)


@cache
def _probe() -> tuple[Figure, Any]:
    """Return a figure for measuring texts."""
    figure, _ = canvas(100, 100, 10, 10)
    return figure, figure.canvas.get_renderer()  # type: ignore[attr-defined]


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> Any:
    """Write plain text; a dollar sign does not start a formula."""
    style = {"fontsize": TEXT, "color": color("ink"), "va": "center", "parse_math": False, **style}
    return axes.text(x, y, text, **style)


def name_point(axes: Axes, point: tuple[float, float], spot: Placed, text: str, **style: Any) -> None:
    """Write a point's name at the place from `labels.place`, with a line to the point if it is far."""
    back = axes.transData.inverted()
    if spot.leads:
        pixel = axes.transData.transform(point)
        end = back.transform(nearest_edge((float(pixel[0]), float(pixel[1])), spot.box))
        axes.plot([point[0], end[0]], [point[1], end[1]], color=color("muted"), linewidth=0.7, zorder=5.5)
    x, y = back.transform(spot.center)
    write(axes, x, y, text, ha="center", **style)


def rim(axes: Axes, point: tuple[float, float], marker: str) -> None:
    """Draw a light rim below the next point, so that overlapping points stay visible."""
    axes.plot([point[0]], [point[1]], marker, markersize=12, color=color("paper"), zorder=5)


def axis_title(axes: Axes, text: str) -> None:
    """Write the title of the x axis below its left end."""
    axes.set_xlabel(text, loc="left", fontsize=SMALL, color=color("muted"), labelpad=4)


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers for a logarithmic axis."""
    for steps in (
        (1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
        (1, 1.5, 2, 3, 4, 5, 7),
        (1, 2, 5),
        (1, 3),
        (1,),
    ):
        ticks = [base * 10.0**power for power in range(-9, 13) for base in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            return inside
    return thinned(inside, most)


def thinned(values: Sequence[float], most: int) -> list[float]:
    """Return at most `most` of the values, evenly chosen."""
    every = -(-len(values) // most)
    return list(values)[::every]


def few_ticks() -> Locator:
    """Return a locator for a few round numbers on a linear axis."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])
