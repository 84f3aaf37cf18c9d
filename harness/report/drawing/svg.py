"""matplotlib's SVG adapted to the page: text stays text, colors follow the theme, points link to their Cell.

An artist with the gid ``cell:ID`` becomes a group with ``data-cell="ID"`` and a title.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from harness.report.drawing.canvas import DPI, any_letters
from harness.report.drawing.palette import color, substitutions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
MARK = "cell:"
FONT = "Helvetica, Arial, sans-serif"
_LONG_NUMBER = re.compile(r"(\d+\.\d{2})\d+")
_ATTRIBUTE = re.compile(r'\b(?:d|x|y|points|transform)="[^"]*"')
_FONTS = re.compile(r"font-family: [^;\"]*")
_SUBSTITUTIONS = substitutions()

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def drawn(figure: Figure, name: str) -> str:
    """Return the text of an SVG file in light colors; equal figures give equal texts."""
    import matplotlib as mpl

    buffer = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name}
    with mpl.rc_context(settings), any_letters():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": name})
    return _trimmed(buffer.getvalue())


def raster(figure: Figure) -> bytes:
    """Return a PNG file on white, with three pixels for each pixel of the SVG."""
    buffer = io.BytesIO()
    with any_letters():
        figure.savefig(
            buffer, format="png", dpi=3 * DPI, facecolor=color("paper"), metadata={"Software": None}
        )
    return buffer.getvalue()


def inlined(svg: str, prefix: str, label: str, titles: Mapping[str, str]) -> str:
    """Return a drawn figure as part of an HTML page.

    `prefix` makes its ids unique on the page. Screen readers read `label`. `titles`: tooltips by Cell.
    """
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "style": f"--width:{width:.0f}px;max-width:{1.25 * width:.0f}px",
    }
    root.attrib["data-ratio"] = f"{width / height:.3f}"
    for element in root.iter():
        _thin_out(element)
        _identify(element, prefix, titles)
        _recolor(element)
    return ET.tostring(root, encoding="unicode")


def _thin_out(element: ET.Element) -> None:
    """Remove indentation and rotations by zero degrees."""
    if element.tag not in (f"{{{SVG}}}text", f"{{{SVG}}}title"):
        element.text = element.text and element.text.strip()
    element.tail = None
    if element.attrib.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del element.attrib["transform"]
    for name in ("d", "style"):
        if name in element.attrib:
            element.attrib[name] = " ".join(element.attrib[name].split())


def _identify(element: ET.Element, prefix: str, titles: Mapping[str, str]) -> None:
    """Make ids unique on the page; mark the groups of Cells."""
    identity = element.attrib.pop("id", None)
    if identity is not None and identity.startswith(MARK):
        cell = identity.removeprefix(MARK)
        element.attrib |= {"class": "pt", "data-cell": cell}
        if cell in titles:
            title = ET.Element(f"{{{SVG}}}title")
            title.text = titles[cell]
            element.insert(0, title)
    elif identity is not None and element.tag.rpartition("}")[2] in ("path", "clipPath", "rect"):
        element.attrib["id"] = f"{prefix}-{identity}"
    for name, value in list(element.attrib.items()):
        if value.startswith("#") and name == f"{{{XLINK}}}href":
            element.attrib[name] = f"#{prefix}-{value[1:]}"
        elif "url(#" in value:
            element.attrib[name] = value.replace("url(#", f"url(#{prefix}-")


def _recolor(element: ET.Element) -> None:
    for name in ("style", "fill", "stroke"):
        value = element.attrib.get(name)
        if value is None:
            continue
        for light, variable in _SUBSTITUTIONS.items():
            value = value.replace(light, variable)
        element.attrib[name] = value.replace(f"font-family: {FONT}; ", "")


def _trimmed(svg: str) -> str:
    """Round coordinates to hundredths of a pixel, which halves the file."""
    short = _ATTRIBUTE.sub(lambda match: _LONG_NUMBER.sub(r"\1", match[0]), svg)
    return _FONTS.sub(f"font-family: {FONT}", short)
