"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import nn

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion factor, output channels, blocks, stride of the first block."""
STEM, LAST = 32, 1280


def _convolution(before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Make a padded convolution, batch norm and ReLU6."""
    return [
        nn.Conv2d(before, after, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU6(),
    ]


class InvertedResidual(nn.Module):
    """A 1 × 1 expansion, a depthwise 3 × 3 convolution, and a linear 1 × 1 projection.

    The input is added where the shapes are equal.
    """

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        widen = _convolution(before, inner, 1) if expansion != 1 else []
        self.layers = nn.Sequential(
            *widen,
            *_convolution(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.adds_input = stride == 1 and before == after

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, before, h, w) to (batch, after, ceil(h / stride), ceil(w / stride))."""
        inner: torch.Tensor = self.layers(features)
        return features + inner if self.adds_input else inner


class MobileNetV2(nn.Module):
    """The network of the paper at width 1: a stem, seven stages of inverted residuals, a dense layer."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers = _convolution(3, STEM, 3, stride=2)
        before = STEM
        for expansion, width, depth, stride in STAGES:
            for index in range(depth):
                layers.append(InvertedResidual(before, width, stride if index == 0 else 1, expansion))
                before = width
        self.features = nn.Sequential(*layers, *_convolution(before, LAST, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(LAST, classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_in")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (batch, 3, height, width) to logits (batch, classes)."""
        logits: torch.Tensor = self.head(self.pool(self.features(images)).flatten(1))
        return logits
