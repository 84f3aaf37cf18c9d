"""The seam of model sources: a zoo entry, a Python factory, an ONNX file, or what a plug-in brings.

A source is named by the key that stands in the suite (``{zoo: mnist-mlp}``, ``{onnx: model.onnx}``). Its
config is validated by the manager; its `build` and `data` run in a build worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from harness.formats.tensors import TensorSpec
from harness.registry import Registry
from harness.zoo.registry import DATASETS, METRICS, MODELS, Data, Split


def _specs(value: Any) -> Any:
    """Accept ``{image: [1, 28, 28]}`` and ``{ids: {shape: [128], dtype: int64}}``."""
    if not isinstance(value, dict):
        if isinstance(value, tuple):
            return value
        raise ValueError("needs a mapping from name to shape, for example {image: [1, 28, 28]}")
    specs = []
    for name, spec in value.items():
        fields = {**(spec if isinstance(spec, dict) else {"shape": spec}), "name": name}
        # Pydantic takes what a validator returns as Python, where a list is no tuple.
        specs.append({key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()})
    return tuple(specs)


Inputs = Annotated[tuple[TensorSpec, ...], BeforeValidator(_specs), Field(min_length=1)]


def _known(registry: Registry[Any]) -> Callable[[str], str]:
    """Refuse a name that `registry` does not have, with the nearest that it has."""

    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(registry.unknown(name))
        return name

    return check


def _dataset(reference: str) -> str:
    return reference if ":" in reference else _known(DATASETS)(reference)


ModelName = Annotated[str, AfterValidator(_known(MODELS))]
MetricName = Annotated[str, AfterValidator(_known(METRICS))]
DatasetReference = Annotated[str, AfterValidator(_dataset)]
"""A dataset's name, or ``package.module:function``."""
Depends = Annotated[
    tuple[str, ...], Field(description="files and folders beside the suite that the model or its data read")
]
"""What counts for an Artifact's address beside the code: a change of it builds anew."""


class SourceConfig(BaseModel):
    """Base of all source configs: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Source:
    """A registered kind of model source.

    form: the form of the Artifact that it yields.
    identity(config, folder): JSON-able content that changes when the model does (hashes of its files);
        raises DataError when a file is missing. `folder` is the suite's folder.
    build(config, folder, out): write the source Artifact's files into `out`; return the model's inputs.
    data(config, folder, split): items of the dataset, or None when the model has none.
    has_data(config): whether `data` gives anything, without loading it.
    metric(config): name of the quality metric.
    dataset(config): the dataset's name or reference, None without one.
    tokens(config): tokens that one item holds, None where it has none.
    needs(config): packages that building imports beside torch and onnx, and the extra that installs them.
    """

    key: str
    config: type[SourceConfig]
    format: str
    identity: Callable[[Any, Path], dict[str, Any]]
    build: Callable[[Any, Path, Path], tuple[TensorSpec, ...]]
    data: Callable[[Any, Path, Split], Data | None]
    has_data: Callable[[Any], bool]
    metric: Callable[[Any], str]
    summary: str
    dataset: Callable[[Any], str | None] = lambda config: getattr(config, "dataset", None)
    tokens: Callable[[Any], int | None] = lambda _: None
    needs: Callable[[Any], tuple[tuple[str, ...], str]] = lambda _: ((), "")


SOURCES: Registry[Source] = Registry("model source", "harness.zoo.sources", "harness.zoo")
