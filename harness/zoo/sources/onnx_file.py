"""``{onnx: model.onnx}``: a user's own ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.artifacts.cache import file_digest
from harness.config import changed_fields
from harness.errors import DataError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.embeddings import table_rows
from harness.formats.onnx.rewriting import fix_inputs
from harness.formats.onnx.weights import count_parameters
from harness.formats.tensors import TensorSpec
from harness.zoo.identities import dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    Inputs,
    ModelIdentity,
    OwnModel,
    Source,
)
from harness.zoo.user_code import load_data

if TYPE_CHECKING:
    import onnx


class OnnxSource(OwnModel):
    """`onnx` is a file, relative to the suite. Inputs are read from its graph unless given."""

    onnx: str
    inputs: Inputs | None = None


def _identity(config: OnnxSource, folder: Path) -> ModelIdentity:
    """The file counts as weights: it holds the graph and the weights."""
    path = folder / config.onnx
    if not path.is_file():
        raise DataError(f"{config.onnx}: no such file beside the suite")
    beside = [file_digest(p) if p.is_file() else "missing" for p in onnx_graph.external_files(path)]
    given = [changed_fields(spec) for spec in config.inputs or ()]
    code = [given, depends_identity(config.depends, folder)]
    data = dataset_identity(config.dataset, folder)
    return ModelIdentity(code, [file_digest(path), *beside], data.digest, data.libraries, data.files)


def _build(config: OnnxSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    model = onnx_graph.load_checked(folder / config.onnx)
    inputs = _inputs(config, model)
    fix_inputs(model, inputs)
    onnx_graph.save_model(model, out / onnx_graph.MODEL)
    return inputs


def _inputs(config: OnnxSource, model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the inputs in the graph's order: as given, else as the graph has them.

    Raises DataError when those given do not fit the graph, or when none are given and a shape is free.
    """
    if config.inputs is None:
        return tuple(onnx_graph.input_specs(model))
    values = {value["name"]: value for value in _values(onnx_graph.graph_inputs(model))}
    names = list(values)
    if unmatched := sorted({spec.name for spec in config.inputs} ^ set(names)):
        raise DataError(f"inputs name {', '.join(unmatched)}; the ONNX graph has {', '.join(sorted(names))}")
    for spec in config.inputs:
        dims, dtype = values[spec.name]["dims"], values[spec.name]["dtype"]
        if dims is not None and not _fits(spec.shape, dims[1:]):
            shapes = f"{_in_words(spec.shape)}; the ONNX graph has {_in_words(dims[1:])}"
            raise DataError(f"input {spec.name!r} has shape {shapes} beside the batch")
        if spec.dtype != dtype:
            raise DataError(f"input {spec.name!r} has dtype {spec.dtype}; the ONNX graph has {dtype}")
    rows = table_rows(model)
    stated = [
        spec
        if "high" in spec.model_fields_set or spec.name not in rows
        else spec.model_copy(update={"high": rows[spec.name]})
        for spec in config.inputs
    ]
    return tuple(sorted(stated, key=lambda spec: names.index(spec.name)))


def _fits(given: Sequence[int], dims: Sequence[Any]) -> bool:
    """Whether a shape has a graph's rank and its fixed dimensions."""
    return len(given) == len(dims) and all(
        not isinstance(dim, int) or dim == size for size, dim in zip(given, dims, strict=True)
    )


def _in_words(dims: Sequence[Any]) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


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
    try:
        inputs = _inputs(config, model)
    except DataError as error:
        raise DataError(f"{config.onnx}: {error}") from error
    return {
        "inputs": [spec.model_dump(mode="json") for spec in inputs],
        "graph_inputs": _values(onnx_graph.graph_inputs(model)),
        "outputs": _values(model.graph.output),
        "fixed_batch": onnx_graph.fixed_batch(model),
        "parameters": count_parameters(model)["parameters"],
        "operators": dict(onnx_graph.operators(model)),
        "opsets": {opset.domain: opset.version for opset in model.opset_import},
    }


def _data(config: OnnxSource, folder: Path, split: Split) -> Data | None:
    if config.dataset is None:
        return None
    inputs = _inputs(config, onnx_graph.load_checked(folder / config.onnx))
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
        has_data=lambda config: config.dataset is not None,
        metric=lambda config: config.metric or ("top-1" if config.dataset else "agreement"),
        summary="an ONNX file",
        inspect=_inspect,
    ),
)
