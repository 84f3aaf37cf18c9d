"""``{npy: x.npy, labels: y.npy}``: an array for the only input of a model, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from harness.errors import DataError
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource, Inputs
from harness.zoo.registry import Split
from harness.zoo.splits import place_of


class NpyConfig(DataConfig):
    """One array, and another with the labels."""

    npy: str = Field(min_length=1, description="a file, relative to the suite; {split} is train or test")
    labels: str | None = Field(default=None, description="a second .npy file, with the labels")


def load(config: NpyConfig, folder: Path, split: Split, _: Inputs) -> Any:
    """Return the array, or a tuple of the array and its labels."""
    array = _open(place_of(config.npy, folder, split))
    return array if config.labels is None else (array, _open(place_of(config.labels, folder, split)))


def _open(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path.name} is no readable npy file of numbers: {error}") from error


DATA_SOURCES.add(
    "npy",
    DataSource(
        "npy",
        NpyConfig,
        "a numpy file with the samples of the model's only input",
        lambda text: text.endswith(".npy"),
        load,
        files=lambda config: tuple(filter(None, (config.npy, config.labels))),
    ),
)
