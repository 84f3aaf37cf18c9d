"""MobileNetV2 for 224-pixel images: many small layers, little compute in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "mobilenet-v2",
    summary="MobileNetV2 at 224 pixels, random weights: 3.5 M parameters, 0.6 GFLOPs an image",
    inputs=(TensorSpec(name="image", shape=(3, 224, 224)),),
    dataset="random-images",
    metric="cosine",
    source="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018",
)
def build() -> torch.nn.Module:
    """Make MobileNetV2 with random weights; images are (batch, 3, 224, 224), logits (batch, 1000)."""
    from harness.zoo.nets.mobilenet_v2 import MobileNetV2

    return MobileNetV2()
