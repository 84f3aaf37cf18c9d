"""Documents to HTML: the templates, what all of them know, and the styles and scripts that they share."""

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
LAID_OUT = 100
"""Rows of a leaderboard that are laid out at once, the others on request: laying rows out is most of what a
filter takes, and nobody reads more of them."""
_BREAKS = re.compile(r"(?<=\d) (?=[^\s\d(])|(?<=\d [hm]) (?=\d\d [ms]\b)|(?<=\d [kM]) (?=\w+/s)")
"""Spaces at which no line may end: 95 %, 5 m 39 s, 28.4 k samples/s."""
STYLE, SCRIPT = "assets/site.css", "assets/site.js"


def html(document: Document, data: Mapping[str, Any], **known: Any) -> str:
    """Return a document's text, made of its data; `known` is what every page of the site is given."""
    template = _environment().get_template(document.template)
    return template.render(document=document, root=links.root_of(document.path), **known, **data)


def style() -> str:
    """Return the one style sheet: colours of both themes, then all `.css` files, the page's own first."""
    light, dark = variables("light"), variables("dark")
    screen = "@media screen"
    system = f"{screen} and (prefers-color-scheme:dark)"
    colours = (
        f":root{{color-scheme:light;{light}}}\n"
        f"{system}{{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f"{screen}{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n"
    )
    return colours + _joined("css", first="page.css", last="print.css")


def script() -> str:
    """Return the one script."""
    return _joined("js", first="theme.js", last="links.js")


def tight(text: str) -> str:
    """Keep a number and its unit on one line, and a duration of two parts."""
    return _BREAKS.sub("\N{NO-BREAK SPACE}", text)


def brief(value: float | None) -> str:
    """Return a number that scripts sort and compare by: more digits than anybody sees, and no more."""
    return "" if value is None else f"{value:.9g}"


def _joined(kind: str, first: str, last: str) -> str:
    order = {first: -1, last: 1}
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
        "laid_out": LAID_OUT,
        "verdicts": VERDICTS,
        "percent": percent,
        "unit_word": unit_word,
        "needed": {q: min_calls(q) for q in (0.9, 0.99)},
    }
    return environment
