"""A plain convolutional network: blocks of convolution, batch norm, ReLU and pooling, then a dense layer."""

from __future__ import annotations

import torch
from torch import nn


def conv_block(before: int, after: int) -> nn.Sequential:
    """Convolve 3 × 3, normalise, rectify and halve height and width (odd sizes are rounded down)."""
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
        self.blocks = nn.Sequential(
            *(conv_block(before, after) for before, after in zip(channels[:-1], widths, strict=True))
        )
        side = size >> len(widths)
        self.head = nn.Linear(widths[-1] * side * side, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of images (batch, 1, size, size)."""
        logits: torch.Tensor = self.head(self.blocks(images).flatten(1))
        return logits
