"""ResNet-18 for 224-pixel images: compute-bound at batch 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "resnet18",
    summary="ResNet-18 at 224 pixels, random weights: 11.7 M parameters, 3.6 GFLOPs an image",
    inputs=(TensorSpec(name="image", shape=(3, 224, 224)),),
    dataset="random-images",
    metric="cosine",
    source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
)
def build() -> torch.nn.Module:
    """Make ResNet-18 with random weights; images are (batch, 3, 224, 224), logits (batch, 1000)."""
    from harness.zoo.nets.resnet import ImageResNet

    return ImageResNet((64, 128, 256, 512), depths=(2, 2, 2, 2))
