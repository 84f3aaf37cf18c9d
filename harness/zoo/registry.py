"""The zoo's registries of models, datasets and quality metrics.

Each entry is defined in one file of its folder, which imports no more than numpy. Only the worker that builds
a model imports its factory (`module:function`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array, TensorSpec, place
from harness.registry import Registry

Split = Literal["train", "test"]
T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """Samples of a dataset: `inputs` (samples, *shape), an array for each input; `labels` (samples, …).

    `notes` say how they were read or made, `warnings` what is wrong with them; both are shown with Records.
    `axes` are the inputs' batch axes in the model, where one is not 0.
    """

    inputs: tuple[Array, ...]
    labels: Array | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    axes: tuple[int | None, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs[0]) if self.inputs else 0

    def take(self, places: Array) -> Data:
        """Return the samples at these indices, with their labels."""
        labels = None if self.labels is None else self.labels[places]
        return replace(self, inputs=tuple(array[places] for array in self.inputs), labels=labels)

    def batch(self, start: int, stop: int) -> list[Array]:
        """Return the arrays that a call on these samples takes."""
        axes = self.axes or (0,) * len(self.inputs)
        return [place(array[start:stop], axis) for array, axis in zip(self.inputs, axes, strict=True)]


@dataclass(frozen=True)
class Dataset:
    """A named dataset.

    `load(split, root)` reads it from the folder `root` (a suite's `data/`), or `generate(split, inputs)`
    makes samples for the inputs of any model. `md5` holds the published sum of each file that `load`
    verifies; a checkpoint's card repeats it. `provenance` describes the other sources of the training
    samples, where they differ between machines. `training_version` is a short form of it that needs no
    reading; it is part of the cache key of an Artifact that is trained on them. `random`: the samples are
    random, so an evaluation on them shows agreement with the original model, and nothing of real data.
    """

    name: str
    summary: str
    load: Callable[[Split, Path], Data] | None = None
    md5: Mapping[str, str] = field(default_factory=dict)
    provenance: Callable[[], Mapping[str, str]] = dict
    training_version: Callable[[], str] = str
    generate: Callable[[Split, tuple[TensorSpec, ...]], Data] | None = None
    random: bool = False

    def samples(self, split: Split, root: Path, inputs: tuple[TensorSpec, ...]) -> Data:
        """Return a split for a model with these `inputs`. Raises DataError for files that cannot be read."""
        if self.generate is not None:
            return self.generate(split, inputs)
        if self.load is None:
            raise DataError(f"the dataset {self.name!r} has neither load nor generate")
        return self.load(split, root)


@dataclass(frozen=True)
class Recipe:
    """How a zoo model's checkpoint is trained by `harness train`.

    `learning_rate` is the maximum of a one-cycle schedule; `optimizer` and `augment` are names in
    harness/zoo/fitting.py and harness/zoo/augment.py.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: str | None = None
    seed: int = 0
    optimizer: str = "adamw"
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ZooModel:
    """A model that ships with its recipe and checkpoint, or one with random weights (`recipe` is None).

    `factory` names a function without required arguments that returns a `torch.nn.Module`
    (``harness.zoo.models.mnist_mlp:build``). The checkpoint is `checkpoints/<name>.safetensors` beside the
    suites. Random weights are made by the factory after seeding with `seed`: they are the same bytes each
    time with the same version of torch, and serve for speed and size, not for accuracy.

    `tokens_per_sample` is the number of tokens in one sample of a language model, so that its speed is shown
    in tokens too.
    """

    name: str
    summary: str
    factory: str
    inputs: tuple[TensorSpec, ...]
    metric: str
    dataset: str | None = None
    recipe: Recipe | None = None
    source: str = ""
    seed: int = 0
    tokens_per_sample: int | None = None


class Metric(Protocol):
    """A quality metric: a score for each sample, so that two models can be compared sample by sample.

    `needs_reference`: the truth is the outputs of the unchanged model, not labels. `unit` is the
    unit of a difference of means (``pt``: percentage points).

    A metric with an attribute `classes` gets outputs with the class axis last. One that is no mean of samples
    (F1, R²) has a method `whole`: `score` then returns a row for each sample, (samples, values), and
    `whole(rows)` a value for each, whose mean is the metric (stats/jackknife.py).
    """

    name: str
    summary: str
    unit: str
    higher_is_better: bool
    needs_reference: bool

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Return one score for each sample, shape (samples,). `truth` is labels or reference outputs."""
        ...

    def misfit(self, outputs: tuple[Array, ...], truth: Array) -> str | None:
        """Return why it does not fit these outputs and truth; None if it does."""
        ...


MODELS: Registry[ZooModel] = Registry("model", "harness.zoo.models", "harness.zoo")
DATASETS: Registry[Dataset] = Registry("dataset", "harness.zoo.datasets", "harness.zoo")
METRICS: Registry[Metric] = Registry("metric", "harness.zoo.metrics", "harness.zoo")


def zoo_model(name: str, **about: Any) -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Register the decorated function, which makes the module, as a ZooModel with the fields `about`."""

    def register(build: Callable[[], T]) -> Callable[[], T]:
        MODELS.add(name, ZooModel(name=name, factory=f"{build.__module__}:{build.__name__}", **about))
        return build

    return register
