"""``{onnx: model.onnx}``: a user's own ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from harness.artifacts.cache import file_digest
from harness.config import changed_fields
from harness.errors import DataError
from harness.formats.file_kinds import ONNX, POINTER, check_file, file_kind
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.inputs import fixed_batches, read_inputs, resolve_inputs
from harness.formats.onnx.rewriting import fix_inputs
from harness.formats.onnx.versions import modernized
from harness.formats.onnx.weights import count_parameters
from harness.formats.tensors import TensorSpec
from harness.zoo.identities import dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    Dims,
    Inputs,
    ModelIdentity,
    Outputs,
    OwnModel,
    Source,
    recognize_file,
)
from harness.zoo.user_code import load_data

if TYPE_CHECKING:
    import onnx


class OnnxSource(OwnModel):
    """`onnx` is a file, relative to the suite. Inputs are read from its graph unless given."""

    names_dims: ClassVar[bool] = True

    onnx: str
    inputs: Inputs | None = None
    dims: Dims = Field(default={})
    outputs: Outputs = Field(default={})


def _identity(config: OnnxSource, folder: Path) -> ModelIdentity:
    """The file counts as weights: it holds the graph and the weights."""
    path = folder / config.onnx
    check_file(path, config.onnx, "an ONNX model", ONNX)
    weights = onnx_graph.external_files(path)
    for file in weights:
        if file.is_file() and file_kind(file).name == POINTER:
            check_file(file, f"{file.name}, in which {config.onnx} keeps weights,", "the weights")
    beside = [file_digest(file) if file.is_file() else "missing" for file in weights]
    given = [changed_fields(spec) for spec in config.inputs or ()]
    code = [given, depends_identity(config.depends, folder)]
    data = dataset_identity(config.dataset, folder)
    return ModelIdentity(code, [file_digest(path), *beside], data.digest, data.libraries, data.files)


def _build(config: OnnxSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    model, inputs, notices = _read(config, folder)
    for notice in notices:
        sys.stderr.write(f"{config.onnx}: {notice}\n")
    fix_inputs(model, inputs)
    onnx_graph.save_model(model, out / onnx_graph.MODEL)
    return inputs


def _read(config: OnnxSource, folder: Path) -> tuple[onnx.ModelProto, tuple[TensorSpec, ...], list[str]]:
    """Return the graph with a recent opset, its inputs in its order, and what was filled in or converted.

    Raises DataError when what the suite gives does not fit the graph, or when a size is missing.
    """
    model = onnx_graph.load_checked(folder / config.onnx)
    resolved = resolve_inputs(model, config.inputs or (), config.dims)
    model, converted = modernized(model, resolved.specs)
    return model, tuple(resolved.specs), [*resolved.notices, *converted]


def _values(values: Iterable[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
    """Describe inputs or outputs; of ``dims``, a number is fixed, a name or None is free."""
    import onnx

    described = []
    for value in values:
        tensor = value.type.tensor_type
        known = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type) if tensor.elem_type else None
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
        about = {"name": value.name, "dtype": np.dtype(known).name if known else None}
        described.append({**about, "dims": dims if tensor.HasField("shape") else None})
    return described


def _inspect(config: OnnxSource, folder: Path) -> dict[str, Any]:
    """Return inputs, outputs, batch, parameters, operators and opsets of the file, as JSON."""
    model = onnx_graph.load_checked(folder / config.onnx)
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    try:
        model, inputs, notices = _read(config, folder)
    except DataError as error:
        raise DataError(f"{config.onnx}: {error}") from error
    axes = {spec.name: spec.batch_axis for spec in inputs}
    batches = fixed_batches(read_inputs(model), axes)
    return {
        "inputs": [spec.model_dump(mode="json") for spec in inputs],
        "graph_inputs": _values(onnx_graph.graph_inputs(model)),
        "outputs": _values(model.graph.output),
        "fixed_batch": next(iter(batches), None),
        "notices": notices,
        "parameters": count_parameters(model)["parameters"],
        "operators": dict(onnx_graph.operators(model)),
        "opsets": opsets,
    }


def _data(config: OnnxSource, folder: Path, split: Split) -> Data | None:
    if config.dataset is None:
        return None
    model = onnx_graph.load_checked(folder / config.onnx)
    inputs = tuple(resolve_inputs(model, config.inputs or (), config.dims).specs)
    return load_data(config.dataset, folder, split, inputs)


SOURCES.add(
    "onnx",
    Source(
        key="onnx",
        config=OnnxSource,
        format=onnx_graph.FORMAT,
        identity=_identity,
        build=_build,
        data=_data,
        summary="an ONNX file",
        recognize=recognize_file("onnx", ONNX),
        inspect=_inspect,
    ),
)
