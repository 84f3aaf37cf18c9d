"""One page per model: its answers, all techniques in all Groups, and its trade-offs, for each Run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from harness.analysis.words import numbers as say
from harness.report.gathering import Site
from harness.report.links import model_path
from harness.report.page import ModelView, RunView, model_views
from harness.report.pages.registry import Document, page
from harness.report.properties import Properties


@page("model", "Models", order=30)
def make(site: Site) -> Iterator[Document]:
    """One document for each model name, with a section for each Run."""
    found: dict[str, list[tuple[RunView, ModelView]]] = {}
    for view in site.views:
        for model in model_views(view):
            found.setdefault(model.name, []).append((view, model))
    for name, shown in found.items():
        yield Document(
            model_path(name),
            say.short(name, 60),
            "model.html",
            partial(_data, name, shown),
            say.short(name, 40),
        )


def _data(name: str, shown: list[tuple[RunView, ModelView]]) -> dict[str, Any]:
    return {"name": name, "shown": [(view, model, _properties(model)) for view, model in shown]}


def _properties(model: ModelView) -> Properties:
    """Return parameters, FLOPs, size and quality of the model's baseline."""
    row = next((group.board.baseline for group in model.groups if group.board.baseline), None)
    if row is None:
        return []
    flops = row.flops_per_sample
    pairs = [
        ("Parameters", "" if row.parameters is None else f"{row.parameters:,}"),
        ("Work", "" if flops is None else f"{say.quantity(flops, 'FLOP')} per sample"),
        ("Size", say.quantity(row.artifact_bytes, "bytes", "")),
        ("Quality", "" if row.quality is None else say.score(row.quality, row.quality_unit or "")),
        ("Metric", row.quality_metric or ""),
        ("Baseline", row.technique),
    ]
    return [(label, text) for label, text in pairs if text]
