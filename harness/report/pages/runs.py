"""All Runs that were found, a line each, newest first; and those that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.analysis.words import headline as summary
from harness.report.gathering import Site
from harness.report.pages.registry import Document, page
from harness.store.info import RunInfo


@page("runs", "Runs", order=70)
def make(site: Site) -> Iterator[Document]:
    """One page."""
    yield Document("runs.html", "Runs", "runs.html", lambda: {"rows": _rows(site)})


def _rows(site: Site) -> list[dict[str, Any]]:
    shown = {view.run.info.run_id + view.run.info.started_at for view in site.views}
    return [
        {
            "info": info,
            "machine": site.machine_of(info),
            "trust": summary.trust(info),
            "shown": key in shown,
        }
        for info, key in ((info, _key(info)) for info in site.infos)
    ]


def _key(info: RunInfo) -> str:
    return info.run_id + info.started_at
