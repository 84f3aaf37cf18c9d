"""Registries: an entry is registered in the file that defines it, and found by its name.

On first use a registry loads the modules of its folder and the entry points of its group. None of them may
import an ML library at module level, so that `harness list` works without one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from harness.errors import HarnessError, UnknownNameError, unknown

T = TypeVar("T")
_ALL: WeakSet[Registry[Any]] = WeakSet()


def broken_plugins() -> dict[str, str]:
    """Return the plug-ins that the registries used so far could not load, with the reasons."""
    return {name: why for registry in _ALL for name, why in registry.broken.items()}


class Registry(Generic[T]):
    """Named entries of one kind, from the modules of `package` and the entry points of `group`.

    An entry point names a module; importing it registers what it defines. If one cannot be imported, the
    others still work: its error is kept in `broken` and reported when a name is not found.
    """

    def __init__(self, kind: str, package: str, group: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.group = group
        self.broken: dict[str, str] = {}
        self._items: dict[str, T] = {}
        self._loaded = False
        _ALL.add(self)

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`. Raises HarnessError for a second, different entry of that name."""
        if name in self._items and self._items[name] is not entry:
            raise HarnessError(f"two {self.kind}s are called {name!r}")
        self._items[name] = entry
        return entry

    def get(self, name: str) -> T:
        """Return the entry called `name`, or raise UnknownNameError with the nearest name."""
        self._load()
        if name not in self._items:
            raise UnknownNameError(self.kind, name, self._items, self.broken)
        return self._items[name]

    def unknown(self, name: str) -> str:
        """Return a message for an unknown `name`: the nearest name, all names, and broken plug-ins."""
        return unknown(self.kind, name, self.names(), self.broken)

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._items)

    def items(self) -> Iterator[tuple[str, T]]:
        """Return all names with their entries, sorted by name."""
        self._load()
        return iter(sorted(self._items.items(), key=lambda pair: pair[0]))

    def values(self) -> list[T]:
        """Return all entries, sorted by name."""
        return [entry for _, entry in self.items()]

    def registered(self) -> list[T]:
        """Return the entries registered so far. Loads nothing, so a module may call it while it registers."""
        return list(self._items.values())

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._items

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.walk_packages(package.__path__, prefix=f"{self.package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=self.group) if self.group else ():
            try:
                point.load()
            except (Exception, SystemExit) as error:  # a user's plug-in may raise any error
                self.broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
