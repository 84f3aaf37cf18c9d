"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016)."""

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


class _StagedResNet(nn.Module):
    """A stem, a stage of `depths` blocks for each of `widths`, average pooling and a dense layer.

    Each stage but the first halves height and width.
    """

    def __init__(
        self, stem: nn.Sequential, widths: tuple[int, ...], depths: tuple[int, ...], classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        blocks: list[nn.Module] = []
        before = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                blocks.append(ResidualBlock(before, width, 2 if stage > 0 and index == 0 else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (batch, channels, height, width) to logits (batch, classes)."""
        logits: torch.Tensor = self.head(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits


class ResNet(_StagedResNet):
    """A small network for gray images (batch, 1, height, width); the stem halves height and width."""

    def __init__(self, widths: tuple[int, ...], depth: int = 2, classes: int = 10) -> None:
        stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        super().__init__(stem, widths, (depth,) * len(widths), classes)


class ImageResNet(_StagedResNet):
    """A network for 224-pixel color images (batch, 3, height, width), in the layout of torchvision.

    The stem is a 7 × 7 convolution and a max pool.
    """

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], classes: int = 1000) -> None:
        stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        super().__init__(stem, widths, depths, classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):  # keeps the signal's size through ReLUs (He et al., ICCV 2015)
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
