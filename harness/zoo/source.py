"""The registry of model sources: a zoo entry, a Python factory, an ONNX file, or a plug-in's.

A source is selected by the key in the suite (``{zoo: mnist-mlp}``, ``{onnx: model.onnx}``). The manager
validates its config and asks for its identity; `build`, `data` and `inspect` run in workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from harness.artifacts.code import code_of
from harness.config import Config
from harness.formats.registry import FORMATS
from harness.formats.tensors import TensorSpec
from harness.registry import Registry
from harness.zoo.data_sources.registry import DataConfig
from harness.zoo.dataset_reference import DatasetReference as DatasetReference
from harness.zoo.registry import DATASETS, METRICS, MODELS, Data, Split
from harness.zoo.user_code import REFERENCE


def _specs(value: Any) -> Any:
    """Accept ``{image: [1, 28, 28]}``, ``{ids: {shape: [128], dtype: int64}}`` and what a config dumps."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        value = {one["name"]: one for one in value}
    if not isinstance(value, dict):
        raise ValueError("needs a mapping from name to shape, for example {image: [1, 28, 28]}")
    specs = []
    for name, spec in value.items():
        fields = {**(spec if isinstance(spec, dict) else {"shape": spec}), "name": name}
        # Pydantic takes what a validator returns as Python, where a list is no tuple.
        specs.append({key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()})
    return tuple(specs)


Inputs = Annotated[tuple[TensorSpec, ...], BeforeValidator(_specs), Field(min_length=1)]


def _known(registry: Registry[Any]) -> Callable[[str], str]:
    """Refuse a name that `registry` does not have, and suggest the nearest."""

    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(registry.unknown(name))
        return name

    return check


def _metric(name: str) -> str:
    """Accept a registered metric, and what looks like a function."""
    return name if re.fullmatch(REFERENCE, name) else _known(METRICS)(name)


ModelName = Annotated[str, AfterValidator(_known(MODELS))]
MetricName = Annotated[str, AfterValidator(_metric)]
"""A metric's name, or ``package.module:function`` (zoo/user_metric.py)."""
Depends = Annotated[
    tuple[str, ...], Field(description="files and folders beside the suite that the model or its data read")
]
"""Files that are part of the model's identity, as its code is: a change rebuilds its Artifacts."""


class SourceConfig(Config):
    """Base of all source configs."""


class OwnModel(SourceConfig):
    """Base of the configs of a user's own model: its data, and how its quality is measured."""

    dataset: DatasetReference | None = Field(
        default=None, description="a dataset's name, package.module:function, or a path"
    )
    metric: MetricName | None = Field(
        default=None,
        description="a metric's name, or package.module:function; default: found from outputs and labels",
    )
    output: str | int | None = Field(
        default=None, description="the output that is evaluated, by name or index, or all; default: the first"
    )
    class_axis: int | None = Field(
        default=None,
        description="axis of the outputs that holds the classes, with the batch as axis 0; default: found "
        "from outputs and labels",
    )
    depends: Depends = ()


@dataclass(frozen=True)
class ModelIdentity:
    """What changes when a model does, as JSON: its code, its weights and its dataset, each by hashes.

    `libraries` are the versions of the distributions that its code imports, `files` a user's own code.
    """

    code: Any
    weights: Any
    data: Any
    libraries: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Source:
    """A registered kind of model source.

    format: the format of the Artifact that it yields.
    identity(config, folder): hashes of what the model is made of; `folder` is the suite's folder. Raises
        DataError when a file is missing.
    build(config, folder, out): write the source Artifact's files into `out`; return the model's inputs.
    data(config, folder, split): samples of the dataset, or None when the model has none.
    has_data(config): whether `data` returns samples, without loading them.
    metric(config): name of the quality metric; not asked where the config has a field `metric`, since the
        default is then found from outputs and labels (zoo/default_metric.py).
    dataset(config): the dataset's name, reference or settings, None without one.
    tokens(config): tokens in one sample, None where it has none.
    needs(config): packages that building imports beside torch and onnx, and the extra that installs them.
    inspect(config, folder): what planning needs to know about the model and only a library can read, as
        JSON: ``inputs`` (name, shape without batch, dtype), ``outputs``, ``fixed_batch``, ``parameters`` and
        others. Raises DataError when the model cannot be used as the suite has it. None: nothing to inspect.
    """

    key: str
    config: type[SourceConfig]
    format: str
    identity: Callable[[Any, Path], ModelIdentity]
    build: Callable[[Any, Path, Path], tuple[TensorSpec, ...]]
    data: Callable[[Any, Path, Split], Data | None]
    has_data: Callable[[Any], bool]
    metric: Callable[[Any], str]
    summary: str
    dataset: Callable[[Any], str | DataConfig | None] = lambda config: getattr(config, "dataset", None)
    tokens: Callable[[Any], int | None] = lambda _: None
    needs: Callable[[Any], tuple[tuple[str, ...], str]] = lambda _: ((), "")
    inspect: Callable[[Any, Path], dict[str, Any]] | None = None

    def random_samples(self, config: Any) -> bool:
        """Return whether the evaluation uses random samples: without a dataset, or with a random one."""
        name = self.dataset(config)
        return name is None or (isinstance(name, str) and name in DATASETS and DATASETS.get(name).random)

    @property
    def code(self) -> str:
        """Hash of the harness's code that `build` and the statistics of its result depend on."""
        read = FORMATS.get(self.format) if self.format in FORMATS else None
        return code_of(self.build, *((read.count, read.examine) if read else ()))


SOURCES: Registry[Source] = Registry("model source", "harness.zoo.sources", "harness.zoo")
