"""``{torch: "pkg.mod:build", inputs: …, dataset: "pkg.mod:data"}``: a user's own PyTorch model."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from harness.artifacts.cache import file_digest
from harness.errors import DataError, first_line
from harness.formats.file_kinds import SAFETENSORS, STATE_DICT, check_file, file_kind
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.user_function import import_function
from harness.zoo.identities import code_identity, dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    Dims,
    Inputs,
    ModelIdentity,
    Outputs,
    OwnModel,
    Source,
)
from harness.zoo.user_code import REFERENCE, find_module, functions_of, load_data

if TYPE_CHECKING:
    import torch


def _names_a_function(reference: str) -> str:
    if re.fullmatch(REFERENCE, reference) is None:
        raise ValueError(
            f"{reference!r} names no function; write package.module:function or file.py:function"
        )
    return reference


Factory = Annotated[
    str, AfterValidator(_names_a_function), WithJsonSchema({"type": "string", "pattern": REFERENCE})
]


class TorchSource(OwnModel):
    """`torch` names a function that returns a `torch.nn.Module`, its weights in place or in `weights`.

    Without `inputs`, the model or its file offers `example_inputs` (zoo/example_inputs.py).
    """

    torch: Factory = Field(description="package.module:function or file.py:function")
    inputs: Inputs | None = Field(default=None, description="default: what the model offers")
    dims: Dims = Field(default={})
    outputs: Outputs = Field(default={})
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments of the factory")
    weights: str | None = Field(default=None, description="safetensors, or a state dict saved by torch")


def _identity(config: TorchSource, folder: Path) -> ModelIdentity:
    code, data = code_identity(config.torch, folder), dataset_identity(config.dataset, folder)
    weights = None
    if config.weights:
        path = folder / config.weights
        check_file(path, config.weights, "safetensors or a state dict", SAFETENSORS, STATE_DICT)
        weights = file_digest(path)
    content = [code.digest, depends_identity(config.depends, folder)]
    libraries, files = code.libraries | data.libraries, code.files + data.files
    return ModelIdentity(content, weights, data.digest, libraries, files)


def _module(config: TorchSource, folder: Path) -> tuple[torch.nn.Module, tuple[TensorSpec, ...]]:
    """Make the module with its weights, and find its inputs. Raises DataError."""
    import torch

    torch.manual_seed(0)  # a factory without weights gives the same random ones each time
    module = torch_module.call_factory(config.torch, config.kwargs)
    if config.weights:
        torch_module.place_tensors(module, _tensors(folder / config.weights, config.weights))
    if config.inputs is not None:
        return module, config.inputs
    from harness.zoo.example_inputs import offered_inputs

    return module, offered_inputs(module, import_function(config.torch), config.torch)


def _tensors(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Read safetensors, or a state dict that torch saved; no other object is unpickled. Raises DataError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file_kind(path).name == SAFETENSORS:
            found: dict[str, Any] = load_file(str(path))
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError) as error:
        raise DataError(f"{name} cannot be read as weights: {first_line(error)}") from error
    other = [key for key, value in found.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise DataError(f"{name} holds {', '.join(map(str, other[:5]))}; save only the model's state_dict()")
    return dict(found)


def _build(config: TorchSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    module, inputs = _module(config, folder)
    torch_module.save_module(module, out, config.torch, config.kwargs, inputs=inputs)
    return inputs


def _inspect(config: TorchSource, folder: Path) -> dict[str, Any]:
    from harness.zoo.module_inspection import inspect_module

    return inspect_module(*_module(config, folder), config.torch)


def _data(config: TorchSource, folder: Path, split: Split) -> Data | None:
    if config.dataset is None:
        return None
    return load_data(config.dataset, folder, split, config.inputs or _module(config, folder)[1])


def _recognize(argument: str, folder: Path) -> dict[str, Any] | None:
    """Take ``package.module:function`` and ``file.py:function``; of a Python file, name its functions."""
    path = folder / argument
    path = path / "hubconf.py" if (path / "hubconf.py").is_file() else path
    if path.suffix == ".py" and path.is_file():
        name = argument if argument.endswith(".py") else f"{argument.rstrip('/')}/hubconf.py"
        named = " or ".join(f"{name}:{function}" for function in functions_of(path)[:5])
        raise DataError(f"{argument} is Python code; name the function that returns the model: {named}")
    if path.exists() or re.fullmatch(REFERENCE, argument) is None:
        return None
    find_module(argument, folder)
    return {"torch": argument}


SOURCES.add(
    "torch",
    Source(
        key="torch",
        config=TorchSource,
        format=torch_module.FORMAT,
        identity=_identity,
        build=_build,
        data=_data,
        summary="a Python function that returns a torch.nn.Module",
        recognize=_recognize,
        inspect=_inspect,
    ),
)
