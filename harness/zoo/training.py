"""Train a zoo model by its recipe, for `harness train NAME`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from harness.errors import DataError
from harness.formats.torch.module import call_factory, unique_tensors
from harness.zoo import checkpoints
from harness.zoo.fitting import SCHEDULE, Progress, fit, mean_score
from harness.zoo.registry import DATASETS, METRICS, MODELS, Dataset, Recipe, ZooModel


def train_zoo_model(
    name: str,
    suites_root: Path,
    *,
    recipe: Recipe | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Train the zoo model `name`, write its checkpoint under `suites_root` and return its card.

    The dataset is read from `suites_root`/data; weights and card go to `suites_root`/checkpoints. `recipe`
    replaces the model's own. `quality` on the card is the mean of `metric` over the whole test split, which
    is not used in training. Raises UnknownNameError for an unknown name, DataError for a model that cannot be
    trained or data that cannot be read, BuildError when training diverges.
    """
    model = MODELS.get(name)
    recipe = recipe or model.recipe
    if recipe is None or model.dataset is None:
        raise DataError(f"the model {name!r} has no recipe for training")
    dataset = DATASETS.get(model.dataset)
    train, test = (dataset.samples(split, suites_root / "data", model.inputs) for split in ("train", "test"))
    if train.labels is None:
        raise DataError(f"the dataset {dataset.name!r} has no labels to train {name!r} with")
    module = _untrained(model, recipe.seed)
    begin = time.perf_counter()
    fit(module, train.inputs, train.labels, recipe, progress=progress)
    train_s = time.perf_counter() - begin
    statistics = {
        "model": name,
        **_origin(recipe, dataset),
        "metric": model.metric,
        "quality": round(mean_score(module, test, METRICS.get(model.metric)), 6),
        "test_samples": len(test),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "train_s": round(train_s, 1),
    }
    tensors = {key: value.cpu().numpy() for key, value in unique_tensors(module)[0].items()}
    return checkpoints.save(checkpoints.place(name, suites_root), tensors, statistics)


def _origin(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return what determines the weights besides the model; repeating it gives the same weights."""
    return {
        "recipe": asdict(recipe),
        "schedule": SCHEDULE,
        "dataset": dataset.name,
        "dataset_md5": dict(dataset.md5),
        **({"dataset_provenance": dict(found)} if (found := dataset.provenance()) else {}),
        "epochs": recipe.epochs,
        "seed": recipe.seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _untrained(model: ZooModel, seed: int) -> torch.nn.Module:
    """Make the model's module with weights seeded by `seed`; restore the caller's random state."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return call_factory(model.factory)
