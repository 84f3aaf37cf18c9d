"""Imports a user's function by ``package.module:function`` or ``folder/file.py:function``, in workers."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_folders: list[Path] = []
"""The folder of the file that was imported last; it is on the search path."""


def import_function(reference: str) -> Any:
    """Return the function. A file is found below the search path, and the modules beside it are its own.

    Raises what importing raises.
    """
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return getattr(importlib.import_module(place), name)
    files = (Path(entry, place).resolve() for entry in sys.path)
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise ModuleNotFoundError(f"no file {place} beside the suite or in the working folder")
    return getattr(_import_file(path), name)


def _import_file(path: Path) -> ModuleType:
    """Import a file under its own name, after removing what an earlier file's folder has brought.

    Without that, two repositories that both have a `utils` would share the first one's.
    """
    known = sys.modules.get(path.stem)
    if _folders[-1:] == [path.parent] and known is not None and known.__file__ == str(path):
        return known
    for folder in _folders:
        sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
        for name, module in list(sys.modules.items()):
            file = Path(getattr(module, "__file__", None) or "/")
            if file.is_relative_to(folder) and "site-packages" not in file.parts:
                del sys.modules[name]
    _folders[:] = [path.parent]
    sys.path.insert(_first_own(), str(path.parent))
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: S101 (the file exists and ends with .py)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _first_own() -> int:
    """Return the place on the search path behind everything installed, before the suite's folder."""
    installed = [place for place, entry in enumerate(sys.path) if "site-packages" in Path(entry).parts]
    return installed[-1] + 1 if installed else len(sys.path)
