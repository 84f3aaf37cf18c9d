"""The list of all Runs, newest first, and of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.analysis.words import headline
from harness.report.gathering import Site
from harness.report.pages.registry import Document, page


@page("runs", "Runs", order=70)
def make(site: Site) -> Iterator[Document]:
    """One document."""
    yield Document("runs.html", "Runs", "runs.html", lambda: {"rows": _rows(site)})


def _rows(site: Site) -> list[dict[str, Any]]:
    shown = {id(view.run.info) for view in site.views}
    return [
        {
            "info": info,
            "machine": site.machine_of(info),
            "trust": headline.trust(info),
            "shown": id(info) in shown,
        }
        for info in site.infos
    ]
