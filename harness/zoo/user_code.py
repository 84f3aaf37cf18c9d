"""A user's own Python code: found without running it, imported only by a worker."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.zoo.assets import locate_asset
from harness.zoo.registry import DATASETS, Data, Split

REFERENCE = r"^(?:[A-Za-z_][\w.]*|[^:]+\.py):[A-Za-z_]\w*$"
"""`package.module:function`, or `folder/file.py:function`."""


def find_module(reference: str, folder: Path) -> Path:
    """Return the file that defines the function `reference`, without running it. Raises DataError."""
    name = reference.rpartition(":")[0]
    if name.endswith(".py"):
        for root in (folder, Path.cwd()):
            if (root / name).is_file():
                return root / name
        raise DataError(f"{name}: no such file beside the suite or in the working folder")
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise DataError(f"{reference!r} is not package.module:function")
    installed = _installed(parts[0])
    if installed is not None and len(parts) == 1:
        return installed
    for root in [*([installed.parent.parent] if installed else []), folder, Path.cwd()]:
        place = root.joinpath(*parts)
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if candidate.is_file():
                return candidate
    raise DataError(f"no module {name!r} beside the suite, in the working folder, or installed")


def functions_of(path: Path) -> list[str]:
    """Return the names of the public functions that a Python file defines, without running it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path.name} is no valid Python: {error}") from error
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if not name.startswith("_")]


def _installed(name: str) -> Path | None:
    """Return the file of an importable top-level module without importing it; None if it has none."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # __main__
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def load_data(reference: str, folder: Path, split: Split, inputs: tuple[TensorSpec, ...]) -> Data:
    """Load a dataset by registered name or from a user's function `data(split)`, for a model's `inputs`.

    The function returns `inputs`, or `(inputs, labels)`; `inputs` is one array or a tuple of arrays of shape
    (samples, *shape). Raises DataError when it does not.
    """
    if ":" not in reference:
        return DATASETS.get(reference).samples(split, locate_asset("data", folder), inputs)
    module, _, function = reference.partition(":")
    try:
        result = getattr(importlib.import_module(module), function)(split)
    except Exception as error:
        raise DataError(f"the dataset {reference!r} raised {type(error).__name__}: {error}") from error
    return as_data(result, reference)


def as_data(result: Any, what: str) -> Data:
    """Convert the result of a user's dataset function to Data. Raises DataError."""
    inputs, labels = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    arrays = tuple(np.asarray(a) for a in (inputs if isinstance(inputs, (tuple, list)) else (inputs,)))
    if not arrays or any(array.dtype == object or array.ndim == 0 for array in arrays):
        raise DataError(
            f"{what} must return inputs, or (inputs, labels), as arrays whose first dimension is the samples"
        )
    truth = None if labels is None else np.asarray(labels)
    if truth is not None and len(truth) != len(arrays[0]):
        raise DataError(f"{what} returned {len(arrays[0])} inputs and {len(truth)} labels")
    return Data(arrays, truth)
