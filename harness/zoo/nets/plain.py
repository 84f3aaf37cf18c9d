"""Plain networks for images: dense layers, and blocks of convolution, batch norm, ReLU and pooling."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class Mlp(nn.Module):
    """Dense layers with ReLU between them; `widths` are the pixels of an image, …, the classes."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (batch, channels, height, width) to logits (batch, classes)."""
        logits: torch.Tensor = self.layers(images.flatten(1))
        return logits


def conv_block(before: int, after: int) -> nn.Sequential:
    """Make a block: 3 × 3 convolution, batch norm, ReLU, 2 × 2 max pool (odd sizes are rounded down)."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Cnn(nn.Module):
    """One block for each of `widths`, then a dense layer to `classes`; images are 1 × `size` × `size`."""

    def __init__(self, widths: tuple[int, ...], size: int = 28, classes: int = 10) -> None:
        super().__init__()
        channels = (1, *widths)
        self.blocks = nn.Sequential(*(conv_block(before, after) for before, after in pairwise(channels)))
        side = size >> len(widths)
        self.head = nn.Linear(widths[-1] * side * side, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (batch, 1, size, size) to logits (batch, classes)."""
        logits: torch.Tensor = self.head(self.blocks(images).flatten(1))
        return logits
