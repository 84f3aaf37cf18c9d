"""The smallest model of the zoo: a dense network for digits, bound by memory and call overhead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import Recipe, zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "mnist-mlp",
    summary="dense network 784-64-64-10 for digits: 55 k parameters, bound by overhead",
    inputs=(TensorSpec(name="image", shape=(1, 28, 28)),),
    dataset="mnist",
    metric="top-1",
    recipe=Recipe(epochs=20, batch=128, learning_rate=4e-3, weight_decay=1e-2, augment="shift", seed=1),
    source="a dense net, as in LeCun et al., Gradient-based learning, 1998",
)
def build() -> torch.nn.Module:
    """Make the network 784-64-64-10 with untrained weights; it takes images (batch, 1, 28, 28)."""
    from harness.zoo.nets.plain import Mlp

    return Mlp((784, 64, 64, 10))
