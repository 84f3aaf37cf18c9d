"""The registry of data sources: a user's function, or files of one format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.config import Config
from harness.formats.tensors import TensorSpec
from harness.registry import Registry
from harness.zoo.registry import Split

Inputs = tuple[TensorSpec, ...]
Padding = int | float | dict[str, int | float]


class DataConfig(Config):
    """What a suite can set for each kind of data; a subclass adds the key that names the data."""

    pad: Padding | None = Field(
        default=None,
        description="fill shorter samples up to the model's shape with this number, or one for each input",
    )
    samples: int | None = Field(
        default=None,
        ge=1,
        description="read at most so many samples of a split; default where they are read one by one: "
        "2 GB, and of an iterable without a length 10,000 samples",
    )


@dataclass(frozen=True)
class DataSource:
    """A registered kind of data.

    key: the key in the suite, ``{npz: data.npz}``, and the config's field of that name. The text of this
        field alone stands for it where `recognize(text)` says so.
    load(config, folder, split, inputs): return what zoo/samples.py can read; `folder` is the suite's.
    divides: `load` divides files without splits itself; otherwise each sample goes to a split by a hash.
    notes(config, inputs): say how the data are read, for the Record.
    files(config): the paths that it reads, relative to the suite; none for code.
    packages: distributions that it imports.
    """

    key: str
    config: type[DataConfig]
    summary: str
    recognize: Callable[[str], bool]
    load: Callable[[Any, Path, Split, Inputs], Any]
    divides: bool = False
    notes: Callable[[Any, Inputs], tuple[str, ...]] = lambda *_: ()
    files: Callable[[Any], tuple[str, ...]] = lambda _: ()
    packages: tuple[str, ...] = ()


DATA_SOURCES: Registry[DataSource] = Registry("data source", "harness.zoo.data_sources", "harness.zoo")


def data_source(config: DataConfig) -> DataSource:
    """Return the entry that a config belongs to."""
    return next(entry for entry in DATA_SOURCES.values() if isinstance(config, entry.config))


def named_by(config: DataConfig) -> str:
    """Return the text that names the data: a reference to code, or a path."""
    return str(getattr(config, data_source(config).key))
