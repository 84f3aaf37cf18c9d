"""The report: a folder of HTML pages with figures and downloads. It needs no server and no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.words.numbers import percent, unit_word
from harness.errors import StoreError
from harness.report import links
from harness.report.drawing.palette import variables
from harness.report.exports.tables import board_json, cells_csv
from harness.report.gathering import Site, gather
from harness.report.pages.registry import Document, pages
from harness.report.tables import VERDICTS
from harness.stats.quantiles import min_calls
from harness.store.reading import Run
from harness.store.writing import write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MAX_SHOWN = 100
"""Rows of a leaderboard that are shown at first; a button shows the others. Showing many rows is slow."""
_BREAKS = re.compile(r"(?<=\d) (?=[^\s\d(])|(?<=\d [hm]) (?=\d\d [ms]\b)|(?<= [kM]) (?=\w+/s)")
"""Spaces that must not break a line: 95 %, 5 m 39 s, 28.4 k samples/s."""
STYLE, SCRIPT = "assets/site.css", "assets/site.js"
MANIFEST = "site.json"
"""The files of the last report. The next report removes those that it does not write again, and no others."""


def write(runs: Sequence[Run], out: Path, faults: Sequence[str] = (), *, png: bool = False) -> Path:
    """Write the report of the Runs into the folder `out`; return its front page.

    The newest Run of each suite and machine is shown in full; Runs are never pooled. `faults`: sentences on
    Runs that cannot be read. `png`: write figures as PNG too. Raises StoreError if `out` cannot be written.
    """
    site = gather(runs, faults, png=png)
    names: list[str] = []
    for name, content in _files(site):
        target = out / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {target.parent}: {error.strerror or error}") from error
        write_atomic(target, content)
        names.append(name)
    _tidy(out, names)
    return out / "index.html"


def _files(site: Site) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of the site, one at a time."""
    kept = [(view.run, view.boards) for view in site.views]
    yield STYLE, style().encode()
    yield SCRIPT, script().encode()
    yield "cells.csv", cells_csv(kept).encode("utf-8-sig")
    yield "board.json", board_json(kept).encode()
    for view in site.views:
        for group in view.groups:
            for drawing in group.drawings:
                yield from ((f"figures/{name}", content) for name, content in drawing.files.items())
    made = [(page, list(page.make(site))) for page in pages()]
    navigation = [(page.label, found[0].path, page.name) for page, found in made if page.label and found]
    for page, documents in made:
        known = {"site": site, "navigation": navigation, "kind": page.name}
        siblings = documents if page.label and len(documents) > 1 else []
        for document in documents:
            data = dict(document.data())
            yield from data.pop("files", {}).items()
            yield document.path, html(document, data, siblings=siblings, **known).encode()


def _tidy(out: Path, names: Sequence[str]) -> None:
    """Remove the files that an earlier report wrote here and this one did not."""
    try:
        before = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        before = []
    for name in set(before if isinstance(before, list) else ()) - set(names):
        path = (out / str(name)).resolve()
        if path.is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
    write_atomic(out / MANIFEST, json.dumps(sorted(names)).encode())


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
