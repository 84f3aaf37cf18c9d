"""The front page: the Runs, the answer for each model, the overview of speed-ups, and missing Cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from harness.report.gathering import Site
from harness.report.group import Drawing
from harness.report.page import ModelView, model_views
from harness.report.pages.registry import Document, page

MAX_DRAWN_BYTES = 400_000
"""Size of all figures on the front page, so that it opens fast."""


@page("front", "Overview", order=10)
def make(site: Site) -> Iterator[Document]:
    """One document for all Runs."""
    yield Document("index.html", site.title, "front.html", lambda: _data(site))


def _data(site: Site) -> dict[str, Any]:
    models = {view.key: model_views(view) for view in site.views}
    return {"models": models, "drawn": _drawn(models)}


def _drawn(models: dict[str, list[ModelView]]) -> dict[tuple[str, str], Drawing]:
    """Choose the trade-off figures by Run and model: the first model of each Run, then the second …"""
    found: dict[tuple[str, str], Drawing] = {}
    room = MAX_DRAWN_BYTES
    for models_of_runs in zip_longest(*([(key, model) for model in part] for key, part in models.items())):
        for key, model in filter(None, models_of_runs):
            drawing = model.lead.drawing("tradeoff")
            if drawing and len(drawing.svg) <= room:
                found[key, model.name] = drawing
                room -= len(drawing.svg)
    return found
