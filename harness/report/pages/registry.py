"""What a page is: a kind with a name in the navigation, and a function from the site to its documents."""

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
    """One HTML file: where it lies in the site, what it is called, its template and what that is filled with.

    `data` is asked for when the document is written, so that only one is in memory at a time; under ``files``
    it may hold what lies beside the page, by path. `crumbs` are (label, path) pairs that lead up.
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
    """A kind of page. Without a `label` it is not in the navigation; `order` places it there."""

    name: str
    label: str
    order: int
    make: Make


PAGES: Registry[Page] = Registry("page", "harness.report.pages", "harness.pages")


def page(name: str, label: str, order: int) -> Callable[[Make], Make]:
    """Register a function that makes the documents of one kind."""

    def add(make: Make) -> Make:
        PAGES.add(name, Page(name, label, order, make))
        return make

    return add


def pages() -> list[Page]:
    """Return all kinds in the order of the navigation."""
    return sorted(PAGES.values(), key=lambda item: (item.order, item.name))
