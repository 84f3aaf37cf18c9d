"""Versions of installed packages, by distribution and by imported module. Nothing is imported."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from importlib.metadata import PackageNotFoundError, version


@functools.cache
def package_version(name: str) -> str:
    """Version of an installed distribution, or ``absent``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def versions_of(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of several distributions."""
    return {name: package_version(name) for name in sorted(set(names))}


def import_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that hold these modules; none of the standard library."""
    wanted = set(modules) - sys.stdlib_module_names
    return _versions({name for module in wanted for name in _distributions(module)})


def requirement_versions(module: str) -> dict[str, str]:
    """Return the versions of the distribution that holds a top-level module, and of what it requires here."""
    own = _distributions(module)
    required = (line for name in own for line in metadata.requires(name) or () if "extra ==" not in line)
    return _versions({*own, *(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required)})


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # required on other systems only
            continue
    return found


def _distributions(module: str) -> list[str]:
    """Names of the distributions that hold a module: its own name mostly, which is quick to find."""
    try:
        metadata.version(module)
    except metadata.PackageNotFoundError:
        return sorted(set(_by_module().get(module, ())))
    return [module]


@functools.cache
def _by_module() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
