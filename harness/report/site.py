"""The report: a folder of HTML pages with figures and downloads. It needs no server and no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import StoreError
from harness.report.exports.tables import board_json, cells_csv
from harness.report.gathering import Site, gather
from harness.report.pages.registry import pages
from harness.report.rendering import SCRIPT, STYLE, html, script, style
from harness.store.reading import Run
from harness.store.writing import write_atomic

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
