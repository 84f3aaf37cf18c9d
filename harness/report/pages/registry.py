"""Kinds of pages: a name in the navigation, and a function that makes the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.registry import Registry

if TYPE_CHECKING:
    from harness.report.gathering import Site

Data = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Document:
    """One HTML file: path in the site, title, template and data.

    `data` is called when the document is written, so that only one is in memory at a time. Its key ``files``
    may hold more files to write, by path. `label`: its name among pages of its kind. `crumbs`: (label, path)
    pairs of the pages above it.
    """

    path: str
    title: str
    template: str
    data: Data
    label: str = ""
    crumbs: tuple[tuple[str, str], ...] = field(default=())


Make = Callable[["Site"], Iterable[Document]]


@dataclass(frozen=True)
class Page:
    """A kind of page. The navigation shows it if it has a `label`, sorted by `order`."""

    name: str
    label: str
    order: int
    make: Make


PAGES: Registry[Page] = Registry("page", "harness.report.pages", "harness.pages")


def page(name: str, label: str, order: int) -> Callable[[Make], Make]:
    """Register a function that makes the documents of one kind of page."""

    def add(make: Make) -> Make:
        PAGES.add(name, Page(name, label, order, make))
        return make

    return add


def pages() -> list[Page]:
    """Return all kinds of pages in the order of the navigation."""
    return sorted(PAGES.values(), key=lambda entry: (entry.order, entry.name))
