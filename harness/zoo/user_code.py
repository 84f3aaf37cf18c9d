"""A user's own code and data: found without running or reading them, loaded only by a worker."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.zoo.assets import locate_asset
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, data_source, named_by
from harness.zoo.registry import DATASETS, Data, Split
from harness.zoo.samples import as_data
from harness.zoo.splits import find_places, half

REFERENCE = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


def find_module(reference: str, folder: Path) -> Path:
    """Return the file that defines `package.module:function`, without running it. Raises DataError."""
    name = reference.partition(":")[0]
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


def _installed(name: str) -> Path | None:
    """Return the file of an importable top-level module without importing it; None if it has none."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # __main__
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def load_data(
    reference: str | DataConfig, folder: Path, split: Split, inputs: tuple[TensorSpec, ...]
) -> Data:
    """Load a dataset for a model's `inputs`: a registered one, a user's function, or files.

    Raises DataError where it cannot be read, or does not fit the inputs.
    """
    if isinstance(reference, str) and reference in DATASETS:
        return DATASETS.get(reference).samples(split, locate_asset("data", folder), inputs)
    config = data_config(reference)
    source, name = data_source(config), named_by(config)
    what = f"the dataset {name!r} ({split})"
    data = as_data(source.load(config, folder, split, inputs), what, inputs, config)
    if source.files(config) and not source.divides and "" in find_places(name, folder):
        data = half(data, split, what)
    return replace(data, notes=(*source.notes(config, inputs), *data.notes))


def data_config(reference: str | DataConfig) -> DataConfig:
    """Return the settings of a user's data; a text alone is a path or a function. Raises DataError."""
    if isinstance(reference, DataConfig):
        return reference
    for source in DATA_SOURCES.values():
        if source.recognize(reference):
            return source.config.model_validate({source.key: reference})
    raise DataError(DATASETS.unknown(reference))
