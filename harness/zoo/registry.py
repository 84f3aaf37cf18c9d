"""The zoo's registries: models, datasets and quality metrics, each defined in one file of its folder.

Their files import numpy at most; a model's factory (`module:function`) is imported only by the worker that
builds the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array, TensorSpec
from harness.registry import Registry

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Data:
    """Items of a dataset: `inputs` are (items, *shape), an array for each model input; `labels` (items, …)"""

    inputs: tuple[Array, ...]
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs[0]) if self.inputs else 0


@dataclass(frozen=True)
class Dataset:
    """A named dataset: `load(split, root)` reads it from the folder `root` (a suite's `data/`), or
    `generate(split, inputs)` makes items for whatever inputs a model has.

    `md5` gives the published sum of each file that `load` verifies; a checkpoint's card repeats it.
    `provenance` tells what else the training items come from, where that is not the same on all machines;
    `training_version` tells it in short, without reading them: it counts for the address of what they make.
    """

    name: str
    summary: str
    load: Callable[[Split, Path], Data] | None = None
    md5: Mapping[str, str] = field(default_factory=dict)
    provenance: Callable[[], Mapping[str, str]] = dict
    training_version: Callable[[], str] = str
    generate: Callable[[Split, tuple[TensorSpec, ...]], Data] | None = None

    def samples(self, split: Split, root: Path, inputs: tuple[TensorSpec, ...]) -> Data:
        """Return a split for a model with these `inputs`. Raises DataError for files that cannot be read."""
        if self.generate is not None:
            return self.generate(split, inputs)
        if self.load is None:
            raise DataError(f"the dataset {self.name!r} has neither load nor generate")
        return self.load(split, root)


@dataclass(frozen=True)
class Recipe:
    """How a zoo model's checkpoint was trained; `harness train` repeats it.

    `learning_rate` is the peak of a one-cycle schedule; `optimizer` and `augment` are names in
    harness/zoo/training.py and harness/zoo/augment.py.
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
    suites. Random weights are drawn by the factory after seeding with `seed`: the same bytes each time with
    the same version of torch; they tell speed and size, not accuracy.

    `tokens_per_sample`: tokens that one item holds, of a language model, so that its speed is given in tokens
    as well.
    """

    name: str
    summary: str
    factory: str
    inputs: tuple[TensorSpec, ...]
    dataset: str | None
    metric: str
    recipe: Recipe | None
    source: str = ""
    seed: int = 0
    tokens_per_sample: int | None = None


class Metric(Protocol):
    """A quality metric: a score for each item, so that two models can be compared item by item.

    `needs_reference` says that the truth is outputs of the model as given, not labels. `unit` is
    what a difference of the mean is given in (``pt``: hundredths of a share).
    """

    name: str
    summary: str
    unit: str
    higher_is_better: bool
    needs_reference: bool

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Return one score for each item, shape (items,). `truth` is labels or reference outputs."""
        ...


MODELS: Registry[ZooModel] = Registry("model", "harness.zoo.models", "harness.zoo")
DATASETS: Registry[Dataset] = Registry("dataset", "harness.zoo.datasets", "harness.zoo")
METRICS: Registry[Metric] = Registry("metric", "harness.zoo.metrics", "harness.zoo")
