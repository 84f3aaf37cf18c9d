"""Seeded training on the model's data, for pruning and quantization-aware training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from harness.errors import BuildError
from harness.formats.tensors import check_arrays, refuse_other_axes
from harness.techniques.registry import BuildContext, StepConfig
from harness.zoo.registry import Recipe

if TYPE_CHECKING:
    import torch


class Training(StepConfig):
    """How a step trains: AdamW, cross entropy, a one-cycle rate (zoo/fitting.py), the Suite's seed."""

    epochs: int = Field(default=1, ge=1, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, description="peak of a one-cycle schedule")
    batch: int = Field(default=64, ge=1, description="small, so that few samples still give many steps")
    samples: int | None = Field(
        default=None,
        ge=1,
        description="train on this many samples, drawn with the Suite's seed; default: all",
    )


class Finetune(Training):
    """Training after pruning, so that the remaining weights adapt; zero epochs: no training."""

    epochs: int = Field(default=1, ge=0, le=1000)


def finetune(module: torch.nn.Module, config: Finetune, context: BuildContext, *, keep_zeros: bool) -> None:
    """Train `module` in place on the training data; `keep_zeros` holds pruned weights at zero."""
    if config.epochs:
        module.requires_grad_(True)
        train(module, config, context, keep_zeros=keep_zeros, remedy=": set finetune.epochs to 0")
        module.requires_grad_(False).eval()


def train(
    module: torch.nn.Module,
    config: Training,
    context: BuildContext,
    *,
    keep_zeros: bool = False,
    remedy: str = "",
) -> list[float]:
    """Train all parameters that require a gradient, in place; return the mean loss of each epoch (nats).

    The loss is cross entropy. Raises BuildError when the data has no labels (`remedy` is then added to the
    message) or does not fit the model, or when training diverges.
    """
    from harness.zoo.fitting import fit

    refuse_other_axes(context.inputs, "training")
    data = context.training_data()
    if data.labels is None:
        raise BuildError(f"training needs labels, and the dataset has none{remedy}")
    if faults := check_arrays(data.inputs, context.inputs, "training data"):
        raise BuildError("; ".join(faults))
    if config.samples is not None and config.samples < len(data):
        chosen = np.random.default_rng(context.seed).choice(len(data), config.samples, replace=False)
        data = data.take(chosen)
    recipe = Recipe(
        epochs=config.epochs, batch=config.batch, learning_rate=config.learning_rate, seed=context.seed
    )
    assert data.labels is not None  # noqa: S101
    return fit(module, data.inputs, data.labels, recipe, keep_zeros=keep_zeros)
