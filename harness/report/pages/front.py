"""The front page: what was run, the answer for each model, all at a glance, and what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from harness.report.gathering import Site
from harness.report.group import Drawing
from harness.report.models import ModelView, model_views
from harness.report.pages.registry import Document, page

DRAWN_BYTES = 400_000
"""Trade-offs are drawn on the front page up to this size in all: it must open at once."""


@page("front", "Overview", order=10)
def make(site: Site) -> Iterator[Document]:
    """One page, machines one at a time."""
    yield Document("index.html", site.title, "front.html", lambda: _data(site))


def _data(site: Site) -> dict[str, Any]:
    models = {view.key: model_views(view) for view in site.views}
    return {"models": models, "drawn": _drawn(models)}


def _drawn(models: dict[str, list[ModelView]]) -> dict[tuple[str, str], Drawing]:
    """Return the trade-offs that fit by Run and model: each Run's first model, then each one's second …"""
    found: dict[tuple[str, str], Drawing] = {}
    room = DRAWN_BYTES
    for turn in zip_longest(*([(key, model) for model in part] for key, part in models.items())):
        for key, model in filter(None, turn):
            drawing = model.lead.drawing("tradeoff")
            if drawing and len(drawing.svg) <= room:
                found[key, model.name] = drawing
                room -= len(drawing.svg)
    return found
