"""The method page: how Runs are measured and evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.gathering import Site
from harness.report.pages.registry import Document, page
from harness.report.properties import key_in_words
from harness.suite.schema import Measure
from harness.units import parse_seconds, parse_share


@page("method", "Method", order=80)
def make(site: Site) -> Iterator[Document]:
    """One document."""
    settings = [(view, settings_in_words(view.run.info.settings)) for view in site.views]
    yield Document("method.html", "How it was measured", "method.html", lambda: {"settings": settings})


def settings_in_words(settings: Mapping[str, Any]) -> list[str]:
    """Return a Run's settings with the units of the suite file: max time 2.3 s."""
    return [f"{key_in_words(name)} {_value(name, value)}" for name, value in settings.items()]


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "no"
    field = Measure.model_fields.get(name)
    readers = {getattr(part, "func", None) for part in field.metadata} if field else set()
    if isinstance(value, int | float) and parse_seconds in readers:
        return f"{value:,g} s" if value >= 1 or value == 0 else f"{1000 * value:g} ms"
    if isinstance(value, int | float) and parse_share in readers:
        return f"{100 * value:g} %"
    return str(value)
