"""How it was measured, in plain words, with the statistics."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.gathering import Site
from harness.report.pages.registry import Document, page


@page("method", "Method", order=80)
def make(site: Site) -> Iterator[Document]:
    """One page."""
    settings = [(view, view.run.info.settings) for view in site.views]
    yield Document("method.html", "How it was measured", "method.html", lambda: {"settings": settings})
