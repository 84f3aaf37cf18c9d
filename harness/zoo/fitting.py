"""Seeded supervised training: the zoo's recipes, and fine-tuning after a technique changed a module.

Cross entropy, AdamW or SGD, and torch's one-cycle learning rate (Smith & Topin, "Super-convergence", 2018).
The same seed, data, thread count and torch build give the same weights.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lr_scheduler import OneCycleLR

from harness.errors import BuildError, DataError, UnknownNameError
from harness.formats.outputs import leaves
from harness.formats.tensors import Array
from harness.zoo.augment import AUGMENTS, augment_images
from harness.zoo.default_metric import class_axis
from harness.zoo.metrics.fidelity import has_class
from harness.zoo.registry import Data, Metric, Recipe

SCHEDULE = "OneCycleLR"
"""Class in torch.optim.lr_scheduler; a checkpoint's card names it."""
MOMENTUM = 0.9

Batch = tuple[torch.Tensor, ...]
Groups = list[dict[str, object]]
OPTIMIZERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "adamw": lambda groups, rate: torch.optim.AdamW(groups, lr=rate),
    "sgd": lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True),
}


@dataclass(frozen=True)
class Progress:
    """How far training is, reported after each step: `step` of `steps` are done, `epoch` counts from 1."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


def one_cycle(optimizer: torch.optim.Optimizer, rate: float, steps: int) -> OneCycleLR:
    """Return a schedule of `steps` learning rates above zero: a cosine rise to `rate`, then a cosine fall.

    It has one step more than training, because OneCycleLR's last rate is almost zero. Momentum stays
    constant.
    """
    return OneCycleLR(optimizer, max_lr=rate, total_steps=steps + 1, cycle_momentum=False)


def fit(
    module: torch.nn.Module,
    inputs: tuple[Array, ...],
    labels: Array,
    recipe: Recipe,
    *,
    keep_zeros: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> list[float]:
    """Train `module` in place, on its own device, and return the mean loss of each epoch.

    `inputs` are (samples, *shape), one array for each input of the module; `labels` are integers (samples, …)
    for logits, the module's first output, which has one axis more: (samples, …, classes), or of images also
    (samples, classes, …). Positions without a class (negative labels, 255) do not count. `keep_zeros`
    keeps zeros in parameters of two or more dimensions: in weights, not in biases. An incomplete
    last batch is left out of its epoch. The module is left in eval mode. Raises DataError for data that does
    not fit, BuildError when the loss is no
    longer finite, UnknownNameError for an unknown optimizer or augmentation.
    """
    data, target = _tensors(inputs, labels, recipe)
    parameters = _trainable(module)
    zeros = [(p, p.detach() == 0) for p in parameters if keep_zeros and p.ndim > 1]
    device = parameters[0].device
    optimizer = _optimizer(parameters, recipe)
    steps_an_epoch = max(len(target) // recipe.batch, 1)
    steps = recipe.epochs * steps_an_epoch
    schedule = one_cycle(optimizer, recipe.learning_rate, steps)
    losses = np.zeros((recipe.epochs, steps_an_epoch))
    with _training(module, recipe.seed, device, images=data[0].ndim == 4):
        for step, (batch, truth) in enumerate(_batches(data, target, recipe)):
            loss = _step(module, optimizer, tuple(x.to(device) for x in batch), truth.to(device), recipe)
            if not math.isfinite(loss):
                raise BuildError(f"training diverged at step {step + 1} of {steps}: lower the learning rate")
            schedule.step()
            for parameter, zero in zeros:
                parameter.detach().masked_fill_(zero, 0)
            losses.flat[step] = loss
            if progress:
                progress(Progress(step + 1, steps, step // steps_an_epoch + 1, recipe.epochs, loss))
    return [float(mean) for mean in losses.mean(axis=1)]


def mean_score(module: torch.nn.Module, data: Data, metric: Metric, batch: int = 100) -> float:
    """Return the mean of `metric` over all samples of `data`; the module's mode is kept.

    Raises DataError when `data` has no labels or no samples, or the metric does not fit them.
    """
    if data.labels is None or len(data) == 0:
        raise DataError(f"{metric.name} needs samples with labels, and there are none")
    scores = [
        metric.score(
            (predict(module, tuple(x[start : start + batch] for x in data.inputs), batch),),
            data.labels[start : start + batch],
        )
        for start in range(0, len(data), batch)
    ]
    return float(np.concatenate(scores).mean())


def predict(module: torch.nn.Module, inputs: tuple[Array, ...], batch: int = 500) -> NDArray[np.float32]:
    """Return the module's first output in eval mode, float32 (samples, …, classes); its mode is kept."""
    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(inputs[0]), batch):
            part = (torch.from_numpy(array[start : start + batch]).to(device) for array in inputs)
            rows.append(_logits(module(*part)).float().cpu().numpy())
    module.train(was_training)
    return np.concatenate(rows)


def _tensors(inputs: tuple[Array, ...], labels: Array, recipe: Recipe) -> tuple[Batch, torch.Tensor]:
    """Check training data and recipe; return inputs and labels as tensors that share their memory."""
    if recipe.epochs < 1 or recipe.batch < 1:
        raise DataError(f"training takes at least one epoch and one sample a batch, not {recipe}")
    if not inputs or len(labels) == 0 or {len(array) for array in inputs} != {len(labels)}:
        counts = ", ".join(str(len(array)) for array in inputs)
        raise DataError(
            f"training needs as many samples as labels: {counts or 'no inputs'} for {len(labels)}"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"training needs integer labels, not {labels.dtype}")
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs)
    return tensors, torch.from_numpy(labels.astype(np.int64))


def _trainable(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters that take a gradient. Raises BuildError when there are none."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise BuildError("there is nothing to train: no parameter of the module requires a gradient")
    return parameters


def _optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Make the recipe's optimizer, with weight decay for weights only, not for biases and norms."""
    if recipe.optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", recipe.optimizer, OPTIMIZERS)
    groups: Groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[recipe.optimizer]([group for group in groups if group["params"]], recipe.learning_rate)


def _batches(data: Batch, target: torch.Tensor, recipe: Recipe) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Yield the shuffled, augmented batches of all epochs."""
    if recipe.augment is not None and recipe.augment not in AUGMENTS:
        raise UnknownNameError("augmentation", recipe.augment, AUGMENTS)
    generator = torch.Generator().manual_seed(recipe.seed)
    size = min(recipe.batch, len(target))
    for _ in range(recipe.epochs):
        order = torch.randperm(len(target), generator=generator)
        for start in range(0, len(target) - size + 1, size):
            chosen = order[start : start + size]
            batch = tuple(tensor[chosen] for tensor in data)
            if recipe.augment is not None:
                batch = tuple(augment_images(AUGMENTS[recipe.augment], x, generator) for x in batch)
            yield batch, target[chosen]


def _step(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    truth: torch.Tensor,
    recipe: Recipe,
) -> float:
    """Take one optimizer step and return the batch's loss before it."""
    if batch[0].ndim == 4:
        batch = tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in batch)
    logits = _logits(module(*batch))
    labels = truth.numpy(force=True)
    axis = class_axis(tuple(logits.shape), labels)
    if axis is None:
        raise DataError(
            f"logits {tuple(logits.shape)} do not fit labels {tuple(truth.shape)}: training takes logits "
            "with one axis more than the labels, that of the classes"
        )
    classes = logits.shape[axis]
    counted = torch.from_numpy(has_class(labels, classes)).reshape(-1).to(truth.device)
    if not counted.any():
        raise DataError(f"a batch of labels has no class: all are negative or 255, of {classes} classes")
    loss = torch.nn.functional.cross_entropy(
        logits.movedim(axis, -1).reshape(-1, classes)[counted],
        truth.reshape(-1)[counted],
        label_smoothing=recipe.label_smoothing,
    )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _logits(result: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the first output of a module that has one or several."""
    return result if isinstance(result, torch.Tensor) else leaves(result)[0]


@contextlib.contextmanager
def _training(module: torch.nn.Module, seed: int, device: torch.device, *, images: bool) -> Iterator[None]:
    """Set train mode with seeded dropout; images train channels-last (up to a third faster on a CPU).

    Afterwards the caller's random state and the usual memory format are restored, and the module is in eval
    mode.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        if images:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()
        try:
            yield
        finally:
            module.eval()
            if images:
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
