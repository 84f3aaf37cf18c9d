"""``{onnx: model.onnx}``: a user's own ONNX file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.artifacts.cache import file_digest
from harness.config import changed_fields
from harness.errors import DataError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.external_data import external_files
from harness.formats.tensors import TensorSpec
from harness.zoo.identities import dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    DatasetReference,
    Depends,
    Inputs,
    MetricName,
    ModelIdentity,
    Source,
    SourceConfig,
)
from harness.zoo.user_code import load_data


class OnnxSource(SourceConfig):
    """`onnx` is a file, relative to the suite. Inputs are read from its graph unless given."""

    onnx: str
    inputs: Inputs | None = None
    dataset: DatasetReference | None = Field(
        default=None, description="a dataset's name, or package.module:function"
    )
    metric: MetricName | None = Field(default=None, description="a metric's name; top-1 with a dataset")
    depends: Depends = ()


def _identity(config: OnnxSource, folder: Path) -> ModelIdentity:
    """The file counts as weights: it holds the graph and the weights."""
    path = folder / config.onnx
    if not path.is_file():
        raise DataError(f"{config.onnx}: no such file beside the suite")
    beside = [file_digest(p) if p.is_file() else "missing" for p in external_files(path)]
    given = [changed_fields(spec) for spec in config.inputs or ()]
    code = [given, depends_identity(config.depends, folder)]
    data = dataset_identity(config.dataset, folder)
    return ModelIdentity(code, [file_digest(path), *beside], data.digest, data.libraries)


def _build(config: OnnxSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    onnx_graph.copy_model(folder / config.onnx, out)
    model = onnx_graph.load_checked(out / onnx_graph.MODEL)
    if config.inputs is None:
        return tuple(onnx_graph.input_specs(model))
    names = set(onnx_graph.input_names(model))
    if odd := sorted({spec.name for spec in config.inputs} ^ names):
        raise DataError(f"inputs name {', '.join(odd)}; the ONNX graph has {', '.join(sorted(names))}")
    order = {name: i for i, name in enumerate(onnx_graph.input_names(model))}
    return tuple(sorted(config.inputs, key=lambda spec: order[spec.name]))


def _data(config: OnnxSource, folder: Path, split: Split) -> Data | None:
    if config.dataset is None:
        return None
    inputs = config.inputs or tuple(onnx_graph.input_specs(onnx_graph.load_checked(folder / config.onnx)))
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
    ),
)
