"""A plain convolutional network for digits: three blocks with batch norm, and one dense layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import Recipe, zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "mnist-cnn",
    summary="three convolution blocks with batch norm for digits: 62 k parameters, 11 MFLOPs an image",
    inputs=(TensorSpec(name="image", shape=(1, 28, 28)),),
    dataset="mnist",
    metric="top-1",
    recipe=Recipe(epochs=6, batch=256, learning_rate=6e-3, weight_decay=1e-2, augment="affine", seed=1),
    source="LeCun et al., Gradient-based learning, 1998, with the batch norm of Ioffe & Szegedy, 2015",
)
def build() -> torch.nn.Module:
    """Make the network of 32, 64 and 64 channels with untrained weights; images are (batch, 1, 28, 28)."""
    from harness.zoo.nets.plain import Cnn

    return Cnn((32, 64, 64))
