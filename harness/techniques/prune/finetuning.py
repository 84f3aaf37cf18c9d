"""What pruning methods share: fine-tuning afterwards, on the model's training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from harness.artifacts.tensors import check_arrays
from harness.errors import BuildError
from harness.techniques.registry import BuildContext, StepConfig
from harness.zoo.registry import Data, Recipe

if TYPE_CHECKING:
    import torch


class Finetune(StepConfig):
    """Training after pruning, so that the remaining weights take over; zero epochs leaves it out."""

    epochs: int = Field(default=1, ge=0, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, description="peak of a one-cycle schedule")
    batch: int = Field(default=64, ge=1, description="small: few items must still make many steps")
    samples: int | None = Field(
        default=None, ge=1, description="train on this many items, drawn with the Suite's seed; default: all"
    )


def finetune(module: torch.nn.Module, config: Finetune, context: BuildContext, *, keep_zeros: bool) -> None:
    """Train `module` in place on the training data; `keep_zeros` holds pruned weights at zero."""
    if config.epochs == 0:
        return
    from harness.zoo.fitting import fit

    data = context.training_data()
    if data.labels is None:
        raise BuildError("fine-tuning needs labels, and the dataset has none: set finetune.epochs to 0")
    if faults := check_arrays(data.inputs, context.inputs, "training data"):
        raise BuildError("; ".join(faults))
    if config.samples is not None and config.samples < len(data):
        chosen = np.random.default_rng(context.seed).choice(len(data), config.samples, replace=False)
        data = Data(tuple(array[chosen] for array in data.inputs), data.labels[chosen])
    recipe = Recipe(
        epochs=config.epochs, batch=config.batch, learning_rate=config.learning_rate, seed=context.seed
    )
    module.requires_grad_(True)
    assert data.labels is not None  # noqa: S101
    fit(module, data.inputs, data.labels, recipe, keep_zeros=keep_zeros)
    module.requires_grad_(False).eval()
