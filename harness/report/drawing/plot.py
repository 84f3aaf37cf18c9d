"""A small plot written directly as SVG, for hundreds of figures; matplotlib is too slow for these.

It looks like `canvas.py`. Colors are CSS variables, one unit is one pixel, text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from harness.report.drawing.canvas import SMALL
from harness.report.drawing.palette import substitutions

Ticks = Sequence[tuple[float, str]]


def standalone(svg: str) -> str:
    """Return a drawing as a separate file, with the light theme's colors instead of CSS variables."""
    for light, variable in substitutions().items():
        svg = svg.replace(variable, light)
    return svg.replace("<svg ", '<svg font-family="Helvetica, Arial, sans-serif" ', 1)


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values beyond an end are placed at the end."""
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)


@dataclass
class Plot:
    """A plot of `width` × `height` pixels with margins: draw into it, then call `svg`."""

    width: float
    height: float
    left: float
    bottom: float
    right: float
    top: float
    parts: list[str] = field(default_factory=list)

    def x(self, low: float, high: float, *, log: bool = False) -> Scale:
        """Return the horizontal scale."""
        return Scale(low, high, self.left, self.width - self.right, log)

    def y(self, low: float, high: float, *, log: bool = False) -> Scale:
        """Return the vertical scale; pixels count from the top."""
        return Scale(low, high, self.height - self.bottom, self.top, log)

    def frame(self, x: Scale, x_ticks: Ticks, y: Scale, y_ticks: Ticks, title: str) -> None:
        """Draw the base line, horizontal grid lines, tick labels, and the title of the horizontal axis."""
        floor, right = self.height - self.bottom, self.width - self.right
        for value, text in y_ticks:
            self.line([(self.left, y(value)), (right, y(value))], "faint", 1)
            self.text(self.left - 6, y(value) + 3.5, text, "muted", "end")
        self.line([(self.left, floor), (right, floor)], "line", 1)
        for value, text in x_ticks:
            self.text(x(value), floor + 15, text, "muted", "middle")
        self.text(self.left, floor + 31, title, "muted")

    def text(
        self, x: float, y: float, text: str, role: str, anchor: str = "start", *, bold: bool = False
    ) -> None:
        """Write text with its base line at `y`."""
        weight = ";font-weight:700" if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'style="font-size:{SMALL:g}px;fill:var(--{role}){weight}">{escape(text)}</text>'
        )

    def line(self, points: Iterable[tuple[float, float]], role: str, width: float) -> None:
        """Draw a line through pixels."""
        self._path(_joined(points), f"fill:none;stroke:var(--{role});stroke-width:{width:g}")

    def area(self, points: Sequence[tuple[float, float]], role: str) -> None:
        """Fill the area between pixels, ascending in x, and the base line."""
        floor = self.height - self.bottom
        closed = [(points[0][0], floor), *points, (points[-1][0], floor)]
        self._path(f"{_joined(closed)}z", f"fill:var(--{role});fill-opacity:.2")

    def dots(self, points: Iterable[tuple[float, float]], role: str, size: float) -> None:
        """Draw dots of `size` pixels."""
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
        self._path(path, f"stroke:var(--{role});stroke-width:{size:g};stroke-linecap:round")

    def rings(self, points: Iterable[tuple[float, float]], role: str, radius: float) -> None:
        """Draw circles around pixels."""
        r = f"{radius:g}"
        path = "".join(
            f"M{x - radius:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * radius:g} 0a{r} {r} 0 1 0 {-2 * radius:g} 0"
            for x, y in points
        )
        self._path(path, f"fill:none;stroke:var(--{role});stroke-width:1")

    def svg(self, label: str) -> str:
        """Return the SVG text for a page; screen readers read `label`."""
        style = f"--width:{self.width:.0f}px;max-width:{1.25 * self.width:.0f}px"
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" style="{style}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(label)}">'
            f"{''.join(self.parts)}</svg>"
        )

    def _path(self, path: str, style: str) -> None:
        if path:
            self.parts.append(f'<path d="{path}" style="{style}"/>')


def _joined(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
