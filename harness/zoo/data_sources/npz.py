"""``{npz: data.npz}``: numpy's archive, with an array for each input, and `labels`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from harness.errors import DataError
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource, Inputs
from harness.zoo.registry import Split
from harness.zoo.splits import place_of


class NpzConfig(DataConfig):
    """An array for each input under its name, and `labels`."""

    npz: str = Field(min_length=1, description="a file, relative to the suite; {split} is train or test")


def load(config: NpzConfig, folder: Path, split: Split, _: Inputs) -> Any:
    """Return the archive's arrays by name."""
    try:
        with np.load(place_of(config.npz, folder, split), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{config.npz} is no readable npz file of numbers: {error}") from error


DATA_SOURCES.add(
    "npz",
    DataSource(
        "npz",
        NpzConfig,
        "a numpy archive: an array for each input under its name, and labels",
        lambda text: text.endswith(".npz"),
        load,
        files=lambda config: (config.npz,),
    ),
)
