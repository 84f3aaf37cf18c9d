"""HTML from templates, and the style sheet and script that all pages share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.words.numbers import percent, unit_word
from harness.report import links
from harness.report.drawing.palette import variables
from harness.report.pages.registry import Document
from harness.report.tables import VERDICTS
from harness.stats.quantiles import min_calls

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MAX_SHOWN = 100
"""Rows of a leaderboard that are shown at first; a button shows the others. Showing many rows is slow."""
_BREAKS = re.compile(r"(?<=\d) (?=[^\s\d(])|(?<=\d [hm]) (?=\d\d [ms]\b)|(?<= [kM]) (?=\w+/s)")
"""Spaces that must not break a line: 95 %, 5 m 39 s, 28.4 k samples/s."""
STYLE, SCRIPT = "assets/site.css", "assets/site.js"


def html(document: Document, data: Mapping[str, Any], **known: Any) -> str:
    """Render a document with its data; `known` is the data that all pages get."""
    template = _environment().get_template(document.template)
    return template.render(document=document, root=links.root_of(document.path), **known, **data)


def style() -> str:
    """Return the style sheet: colors of both themes, then all `.css` files, page.css first."""
    light, dark = variables("light"), variables("dark")
    screen = "@media screen"
    system = f"{screen} and (prefers-color-scheme:dark)"
    colors = (
        f":root{{color-scheme:light;{light}}}\n"
        f"{system}{{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f"{screen}{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n"
    )
    return colors + _joined("css", last="print.css")


def script() -> str:
    """Return the script: all `.js` files."""
    return _joined("js")


def tight(text: str) -> str:
    """Keep a number and its unit on one line, and a duration too."""
    return _BREAKS.sub("\N{NO-BREAK SPACE}", text)


def brief(value: float | None) -> str:
    """Return a number for scripts to sort and compare by, with nine significant digits."""
    return "" if value is None else f"{value:.9g}"


def _joined(kind: str, last: str = "") -> str:
    order = {f"page.{kind}": -1, last: 1}
    paths: Sequence[Path] = sorted(TEMPLATES.glob(f"*.{kind}"), key=lambda p: (order.get(p.name, 0), p.name))
    return "\n".join(path.read_text("utf-8") for path in paths)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"tight": tight, "brief": brief}
    paths = {name: getattr(links, name) for name in ("board_path", "cell_path", "model_path", "family_path")}
    environment.globals |= paths | {
        "max_shown": MAX_SHOWN,
        "verdicts": VERDICTS,
        "percent": percent,
        "unit_word": unit_word,
        "needed": {q: min_calls(q) for q in (0.9, 0.99)},
    }
    return environment
