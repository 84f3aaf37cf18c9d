"""The front page: what was run, the answer for each model, all at a glance, and what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.report.gathering import Site
from harness.report.models import model_views
from harness.report.pages.registry import Document, page

DRAWN = 6
"""Models whose trade-off is drawn on the front page: it must open at once."""


@page("front", "Overview", order=10)
def make(site: Site) -> Iterator[Document]:
    """One page, machines one at a time."""
    yield Document("index.html", site.title, "front.html", lambda: _data(site))


def _data(site: Site) -> dict[str, Any]:
    return {
        "models": {view.key: model_views(view) for view in site.views},
        "drawn": max(1, DRAWN // max(1, len(site.views))),
    }
