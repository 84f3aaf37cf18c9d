"""A small residual network for digits: the zoo's compute-bound model that trains in minutes on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import Recipe, zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "mnist-resnet",
    summary="nine-layer residual network for digits: 170 k parameters, 28 MFLOPs an image",
    inputs=(TensorSpec(name="image", shape=(1, 28, 28)),),
    dataset="mnist",
    metric="top-1",
    recipe=Recipe(epochs=8, batch=256, learning_rate=6e-3, weight_decay=1e-2, augment="affine", seed=1),
    source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016, at a small size",
)
def build() -> torch.nn.Module:
    """Make two stages of two blocks, 32 and 64 channels, untrained; images are (batch, 1, 28, 28)."""
    from harness.zoo.nets.resnet import ResNet

    return ResNet((32, 64), depth=2)
