"""A multi-layer perceptron for images: dense layers with ReLU between them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class Mlp(nn.Module):
    """Dense layers of the given widths, the first being the pixels of an image and the last the classes."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of images (batch, channels, height, width)."""
        logits: torch.Tensor = self.layers(images.flatten(1))
        return logits
