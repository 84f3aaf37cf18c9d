"""Installed packages: which distribution holds which module, versions, and what is missing. Imports nothing.

A distribution (what pip installs) and its module (what Python imports) may have different names, and one of
several distributions may hold a module: `onnxruntime` comes from onnxruntime or from onnxruntime-gpu. Where
the module's name does not follow from the distribution's, a package is written ``distribution:module``.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata

from harness.errors import MissingPackageError

ABSENT = "absent"


@functools.cache
def package_version(name: str) -> str:
    """Return the version of an installed distribution, or ``absent``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages by distribution: of all that are installed and hold the module."""
    return {name: package_version(name) for name in sorted({n for p in packages for n in _providers(p)})}


def import_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that hold these modules; none of the standard library."""
    return _versions(name for module in set(modules) - sys.stdlib_module_names for name in _holders(module))


def requirement_versions(module: str) -> dict[str, str]:
    """Return the versions of the distribution that holds a top-level module, and of what it requires here."""
    own = _holders(module)
    required = (line for name in own for line in metadata.requires(name) or () if "extra ==" not in line)
    return _versions([*own, *(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required)])


def missing_package(packages: Iterable[str], extra: str | None) -> str | None:
    """Return which of the packages is not here and what installs it, or None."""
    for package in packages:
        if importlib.util.find_spec(module_of(package)) is None:
            return str(MissingPackageError(package.partition(":")[0], extra))
    return None


def module_of(package: str) -> str:
    """Return the module of a package: as written, else named as its distribution, else as that declares."""
    distribution, _, module = package.partition(":")
    named = module or distribution.replace("-", "_")
    if module or importlib.util.find_spec(named) is not None:
        return named
    holding = {name for name, holders in _by_module().items() if distribution in holders}
    held = sorted(holding - {"test", "tests"})  # some wheels contain their tests; `test` is Python's as well
    public = (name for name in held if not name.startswith("_") and importlib.util.find_spec(name))
    return next(public, named)


@functools.cache
def _providers(package: str) -> tuple[str, ...]:
    """Distributions that are installed and hold the package's module; its own name where none is."""
    distribution, _, module = package.partition(":")
    own = {distribution} if package_version(distribution) != ABSENT else set()
    found = own | set(_by_module().get(module or distribution.replace("-", "_"), ()))
    return tuple(sorted(found)) or (distribution,)


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those that are installed; others are required on other systems only."""
    return {name: version for name in sorted(set(names)) if (version := package_version(name)) != ABSENT}


def _holders(module: str) -> Iterable[str]:
    """Return the distributions that hold a module: mostly the one of its name, which is quick to find."""
    return [module] if package_version(module) != ABSENT else _by_module().get(module, ())


@functools.cache
def _by_module() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
