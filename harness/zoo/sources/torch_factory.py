"""``{torch: "pkg.mod:build", inputs: …, dataset: "pkg.mod:data"}``: a user's own PyTorch model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from harness.artifacts.cache import file_digest
from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.zoo.identities import code_identity, dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    Inputs,
    ModelIdentity,
    OwnModel,
    Source,
)
from harness.zoo.user_code import REFERENCE, load_data


def _names_a_function(reference: str) -> str:
    if re.fullmatch(REFERENCE, reference) is None:
        raise ValueError(f"{reference!r} names no function; write package.module:function")
    return reference


Factory = Annotated[
    str, AfterValidator(_names_a_function), WithJsonSchema({"type": "string", "pattern": REFERENCE})
]


class TorchSource(OwnModel):
    """`torch` names a function that returns a `torch.nn.Module`, its weights in place or in `weights`."""

    torch: Factory = Field(description="package.module:function")
    inputs: Inputs
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments of the factory")
    weights: str | None = Field(default=None, description="a safetensors file, relative to the suite")


def _identity(config: TorchSource, folder: Path) -> ModelIdentity:
    code, data = code_identity(config.torch, folder), dataset_identity(config.dataset, folder)
    weights = None
    if config.weights:
        path = folder / config.weights
        if not path.is_file():
            raise DataError(f"{config.weights}: no such file beside the suite")
        weights = file_digest(path)
    content = [code.digest, depends_identity(config.depends, folder)]
    libraries, files = code.libraries | data.libraries, code.files + data.files
    return ModelIdentity(content, weights, data.digest, libraries, files)


def _build(config: TorchSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    import torch

    torch.manual_seed(0)  # a factory without weights gives the same random ones each time
    module = torch_module.call_factory(config.torch, config.kwargs)
    if config.weights:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(str(folder / config.weights))
        except SafetensorError as error:
            raise DataError(f"{config.weights} is no readable safetensors file: {error}") from error
        torch_module.place_tensors(module, tensors)
    torch_module.save_module(module, out, config.torch, config.kwargs, inputs=config.inputs)
    return config.inputs


def _data(config: TorchSource, folder: Path, split: Split) -> Data | None:
    return load_data(config.dataset, folder, split, config.inputs) if config.dataset else None


SOURCES.add(
    "torch",
    Source(
        key="torch",
        config=TorchSource,
        format=torch_module.FORMAT,
        identity=_identity,
        build=_build,
        data=_data,
        has_data=lambda config: config.dataset is not None,
        metric=lambda config: config.metric or ("top-1" if config.dataset else "agreement"),
        summary="a Python function that returns a torch.nn.Module",
    ),
)
