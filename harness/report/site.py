"""The report: one page that opens from a file, its downloads and figures beside it. No network, ever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.report.downloads import board_json, cells_csv
from harness.report.drawing.palette import variables
from harness.report.page import RunView, run_view
from harness.report.tables import VERDICTS
from harness.stats.quantiles import min_samples
from harness.store.reading import Run
from harness.store.writing import write_atomic

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "table.css", "cards.css", "figures.css", "print.css")
SCRIPTS = ("theme.js", "table.js", "links.js")


def write(runs: Sequence[Run], out: Path, faults: Sequence[str] = ()) -> Path:
    """Write the report of one suite's Runs into the folder `out`; return the page.

    The newest Run of each machine is shown, machines one by one and never pooled. `faults` are sentences
    about Runs that could not be read. Raises StoreError when `out` cannot be written.
    """
    shown = newest(runs)
    views = [run_view(run, f"m{index}", earlier) for index, (run, earlier) in enumerate(shown)]
    kept = [(view.run, view.boards) for view in views]
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    for view in views:
        for group in view.groups:
            for drawing in group.drawings:
                write_atomic(
                    out / "figures" / _file(view, drawing.file, len(views)), drawing.content.encode()
                )
    write_atomic(out / "cells.csv", cells_csv(kept).encode("utf-8-sig"))
    write_atomic(out / "board.json", board_json(kept).encode())
    page = out / "index.html"
    write_atomic(page, html(views, list(faults)).encode())
    return page


def newest(runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Return the newest Run of each machine with the number of its earlier ones; newest machine first."""
    by_machine: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.info.started_at):
        key = str(run.info.machine.get("id") or run.info.machine.get("slug") or "unknown")
        by_machine.setdefault(key, []).append(run)
    found = [(group[-1], len(group) - 1) for group in by_machine.values()]
    return sorted(found, key=lambda pair: pair[0].info.started_at, reverse=True)


def html(views: Sequence[RunView], faults: list[str]) -> str:
    """Return the page's text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = tight
    environment.globals["file_of"] = lambda view, name: _file(view, name, len(views))
    context: dict[str, Any] = {
        "views": views,
        "faults": faults,
        "suite": views[0].run.info.suite if views else "nothing measured",
        "verdicts": VERDICTS,
        "needed": {q: min_samples(q) for q in (0.9, 0.99)},
        "css": "\n".join((TEMPLATES / name).read_text("utf-8") for name in STYLES),
        "script": "\n".join((TEMPLATES / name).read_text("utf-8") for name in SCRIPTS),
        "light": variables("light"),
        "dark": variables("dark"),
    }
    return environment.get_template("page.html").render(context)


def tight(text: str) -> str:
    """Keep a number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=[^\s\d(])", "\N{NO-BREAK SPACE}", text)


def _file(view: RunView, name: str, machines: int) -> str:
    """A figure's file name; with the machine in front where there are several."""
    return name if machines == 1 else f"{view.key}-{name}"
