"""Library versions, read from package metadata and not by importing."""

from __future__ import annotations

import functools
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
