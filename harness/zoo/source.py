"""The registry of model sources: a zoo entry, a Python factory, an ONNX file, or a plug-in's.

A source is selected by the key in the suite (``{zoo: mnist-mlp}``, ``{onnx: model.onnx}``). The manager
validates its config and asks for its identity; `build`, `data` and `inspect` run in workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from harness.artifacts.code import code_of
from harness.config import Config
from harness.errors import DataError
from harness.formats.file_kinds import file_kind
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


_SIZE = {"type": "integer", "minimum": 0}
_SIZES = {"type": "array", "items": _SIZE, "minItems": 1}
Dims = Annotated[
    dict[str, Annotated[int, Field(ge=0)]],
    Field(description="sizes of dimensions by name; a list of sizes makes a model for each"),
    WithJsonSchema({"type": "object", "additionalProperties": {"anyOf": [_SIZE, _SIZES]}}),
]


class OutputConfig(Config):
    """What the suite says of one output."""

    batch_axis: Annotated[int, Field(ge=0)] | None = Field(
        default=0, description="dimension that is the batch; null: none. Default: found by calls"
    )


Outputs = Annotated[
    dict[str, OutputConfig], Field(description="outputs by name, where their batch is not found by itself")
]


def _name_sizes(fields: Any, *, may_be_elsewhere: bool) -> Any:
    """Put the sizes in `dims` in place of their names in the shapes of `inputs`, before validation.

    Raises ValueError where no shape uses a name, unless names may also be those in the model's file.
    """
    sizes = fields.get("dims") if isinstance(fields, dict) else None
    inputs = fields.get("inputs") if isinstance(fields, dict) else None
    if not isinstance(sizes, dict) or not isinstance(inputs, dict):
        return fields

    used: set[str] = set()

    def sized(shape: Any) -> Any:
        known = isinstance(shape, (list, tuple))
        used.update(dim for dim in shape if isinstance(dim, str)) if known else None
        return [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in shape] if known else shape

    made = {
        name: {**one, "shape": sized(one.get("shape"))} if isinstance(one, dict) else sized(one)
        for name, one in inputs.items()
    }
    if (unused := sorted(set(sizes) - used)) and not may_be_elsewhere:
        raise ValueError(f"no shape under inputs uses {', '.join(map(str, unused))}")
    return {**fields, "inputs": made}


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
    """Base of all source configs. `names_dims`: the model's file may name dimensions itself."""

    names_dims: ClassVar[bool] = False

    @classmethod
    def sized(cls, fields: Any) -> Any:
        """Return a suite's fields with the sizes in `dims` in place of their names, before validation.

        A validator of pydantic would do, but what it returns is Python, where a list is no tuple. Raises
        ValueError where no shape uses a name.
        """
        return _name_sizes(fields, may_be_elsewhere=cls.names_dims)


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


Recognizer = Callable[[str, Path], dict[str, Any] | None]


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
    recognize(argument, folder): the section of a suite for a model that a command line names, such as
        {"onnx": "model.onnx"}, or None if this source does not take it. `folder` is where relative paths
        start. Raises DataError for what it takes but cannot use.
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
    summary: str
    has_data: Callable[[Any], bool] = lambda config: config.dataset is not None
    metric: Callable[[Any], str] = lambda config: (
        config.metric or ("top-1" if config.dataset else "agreement")
    )
    dataset: Callable[[Any], str | DataConfig | None] = lambda config: getattr(config, "dataset", None)
    tokens: Callable[[Any], int | None] = lambda _: None
    needs: Callable[[Any], tuple[tuple[str, ...], str]] = lambda _: ((), "")
    recognize: Recognizer = lambda _argument, _folder: None
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


def recognize(argument: str, folder: Path) -> dict[str, Any]:
    """Return the suite's section for a model that a command line names: a file, folder, name or function.

    Raises DataError, which says what the thing really is, if no source takes it.
    """
    for source in SOURCES.values():
        if (section := source.recognize(argument, folder)) is not None:
            return section
    path = folder / argument
    try:
        if path.exists():
            kind = file_kind(path)
            raise DataError(f"{argument} is {kind.text}{f'; {kind.remedy}' if kind.remedy else ''}")
    except OSError as error:
        raise DataError(f"{argument} cannot be read: {error.strerror}") from error
    raise DataError(
        f"{argument!r}: no such file or folder. A model is a file, a checkpoint's folder, "
        "package.module:function, a name on the hub (owner/name), or a model of the zoo (harness list models)"
    )


def recognize_file(key: str, kind: str) -> Recognizer:
    """Return what recognizes a file of one kind (file_kinds.py) as the source `key`."""

    def section(argument: str, folder: Path) -> dict[str, Any] | None:
        path = folder / argument
        return {key: argument} if path.is_file() and file_kind(path).name == kind else None

    return section
