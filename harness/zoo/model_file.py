"""Model sources that are one file with code and weights: what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.artifacts.cache import file_digest
from harness.errors import DataError
from harness.formats.file_kinds import check_file
from harness.formats.tensors import TensorSpec
from harness.zoo.identities import dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    Inputs,
    ModelIdentity,
    Outputs,
    OwnModel,
    Source,
    recognize_file,
)
from harness.zoo.user_code import load_data

if TYPE_CHECKING:
    import torch


class FileConfig(OwnModel):
    """Base of the configs of these sources; the field with the file's name has the source's key."""

    inputs: Inputs | None = None
    outputs: Outputs = Field(default={})


@dataclass(frozen=True)
class Opened:
    """A model file in memory: what is saved of it, the module that it runs as, its inputs, its only batch."""

    content: Any
    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    batch: int | None = None


def file_source(
    key: str,
    config: type[FileConfig],
    *,
    kind: str,
    wanted: str,
    format: str,
    open_file: Callable[[Path, tuple[TensorSpec, ...] | None], Opened],
    save: Callable[[Opened, Path], None],
) -> Source:
    """Return a source of files of one kind (file_kinds.py), `wanted` in words.

    `open_file(path, inputs)` reads one, with the inputs that the suite gives; `save(opened, folder)` writes
    the Artifact's files. Both run in workers, and raise DataError.
    """

    def identity(config: Any, folder: Path) -> ModelIdentity:
        path, data = folder / getattr(config, key), dataset_identity(config.dataset, folder)
        check_file(path, getattr(config, key), wanted, kind)
        given = [spec.model_dump(mode="json", exclude_defaults=True) for spec in config.inputs or ()]
        code = [given, depends_identity(config.depends, folder)]
        return ModelIdentity(code, file_digest(path), data.digest, data.libraries, data.files)

    def opened(config: Any, folder: Path) -> Opened:
        try:
            return open_file(folder / getattr(config, key), config.inputs)
        except DataError as error:
            raise DataError(f"{getattr(config, key)}: {error}") from error

    def build(config: Any, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
        model = opened(config, folder)
        save(model, out)
        return model.inputs

    def inspect(config: Any, folder: Path) -> dict[str, Any]:
        from harness.zoo.module_inspection import inspect_module

        model = opened(config, folder)
        return inspect_module(model.module, model.inputs, getattr(config, key), batch=model.batch)

    def data(config: Any, folder: Path, split: Split) -> Data | None:
        if config.dataset is None:
            return None
        return load_data(config.dataset, folder, split, opened(config, folder).inputs)

    for function in (build, inspect, data):  # the code that counts (`code_of`) is that of the source's file
        function.__module__ = open_file.__module__
    return Source(
        key=key,
        config=config,
        format=format,
        identity=identity,
        build=build,
        data=data,
        summary=wanted,
        recognize=recognize_file(key, kind),
        inspect=inspect,
    )
