"""An empty figure in the site's style, and the size of texts. One unit is one pixel of the SVG."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

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
    from matplotlib.text import Text

    figure, renderer = _probe()
    artist = Text(0, 0, text, fontsize=size, fontweight=weight, parse_math=False, figure=figure)
    with any_letters():
        box = artist.get_window_extent(renderer)
    return float(box.width), float(box.height)


@contextmanager
def any_letters() -> Iterator[None]:
    """Ignore letters that DejaVu Sans lacks; in an SVG, the browser draws them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        yield


@cache
def _probe() -> tuple[Figure, Any]:
    """Return a figure for measuring texts."""
    figure, _ = canvas(100, 100, 10, 10)
    return figure, figure.canvas.get_renderer()  # type: ignore[attr-defined]


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> Any:
    """Write plain text; a dollar sign does not start a formula."""
    style = {"fontsize": TEXT, "color": color("ink"), "va": "center", "parse_math": False, **style}
    return axes.text(x, y, text, **style)


def x_title(axes: Axes, text: str) -> None:
    """Write the title of the x axis below its left end."""
    axes.set_xlabel(text, loc="left", fontsize=SMALL, color=color("muted"), labelpad=4)


def y_title(axes: Axes, text: str, left: float) -> None:
    """Write the title of the y axis above it; `left` is how far it starts left of the plot, pixels."""
    area = axes.get_window_extent()
    write(axes, -left / area.width, 1 + 14 / area.height, text, transform=axes.transAxes,
          fontsize=SMALL, color=color("muted"))  # fmt: skip


def log_axis(axes: Axes, which: str, low: float, high: float, most: int, unit: str = "") -> list[float]:
    """Make the axis ``x`` or ``y`` logarithmic, with at most `most` ticks; return the ticks.

    With the `unit` ``%``, ticks are shares.
    """
    ticks = log_ticks(low, high, most)
    texts = [f"{100 * tick:g} %" if unit == "%" else f"{tick:,g} {unit}".rstrip() for tick in ticks]
    for name, given in (("scale", ("log",)), ("lim", (low, high)), ("ticks", (ticks, texts))):
        getattr(axes, f"set_{which}{name}")(*given)
    getattr(axes, f"set_{which}ticks")([], minor=True)
    return ticks


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
    return inside[:: math.ceil(len(inside) / most)]


def few_ticks(most: int = 4) -> Locator:
    """Return a locator for a few round numbers on a linear axis, with at most `most` intervals."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
