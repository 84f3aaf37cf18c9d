"""Residual networks for 224-pixel colour images (He et al., CVPR 2016), in the layout of torchvision."""

from __future__ import annotations

import torch
from torch import nn

from harness.zoo.nets.resnet import ResidualBlock


class ImageResNet(nn.Module):
    """A 7 × 7 stem and a max pool, a stage of blocks for each of `widths`, and a dense layer.

    `depths` are the blocks of each stage; each stage but the first halves height and width.
    """

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        before = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                blocks.append(ResidualBlock(before, width, 2 if stage > 0 and index == 0 else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, classes)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of images (batch, 3, height, width)."""
        logits: torch.Tensor = self.head(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits


def _initialise(net: nn.Module) -> None:
    """Draw convolutions so that the signal keeps its size through the ReLUs (He et al., ICCV 2015)."""
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
