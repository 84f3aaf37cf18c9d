"""A small residual network (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016)."""

from __future__ import annotations

import torch
from torch import nn


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut; the shortcut is a 1 × 1 convolution where shapes differ."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, before, h, w) to (batch, after, ceil(h / stride), ceil(w / stride))."""
        inner = self.relu(self.norm1(self.conv1(features)))
        result: torch.Tensor = self.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))
        return result


class ResNet(nn.Module):
    """A stem that halves the image, a stage of `depth` blocks for each of `widths`, and a dense layer.

    Each stage but the first halves height and width again.
    """

    def __init__(self, widths: tuple[int, ...], depth: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        blocks: list[nn.Module] = []
        before = widths[0]
        for stage, width in enumerate(widths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(ResidualBlock(before, width, stride))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of images (batch, 1, height, width)."""
        logits: torch.Tensor = self.head(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits
