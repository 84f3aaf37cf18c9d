"""Augmentations by name: random changes of a batch of images that keep its labels correct."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from harness.errors import DataError

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

MAX_SHIFT = 2
"""Maximum shift of an image in each direction, in pixels."""
MAX_ANGLE = math.radians(10)
MAX_SCALE = 0.1


def shift(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift each image (batch, channels, h, w) by up to MAX_SHIFT pixels; border pixels are repeated."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (MAX_SHIFT,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * MAX_SHIFT + 1, (2, batch, 1), generator=generator).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)
    columns = offsets[1] + torch.arange(width, device=images.device)
    samples = torch.arange(batch, device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def affine(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotate by up to 10°, scale by up to 10 % and shift by up to two pixels each image (batch, c, h, w)."""
    batch, _, height, width = images.shape
    draws = (2 * torch.rand((4, batch), generator=generator) - 1).to(images.device)
    angle, scale = draws[0] * MAX_ANGLE, 1 + draws[1] * MAX_SCALE
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine, draws[2] * 2 * MAX_SHIFT / width], dim=1),
            torch.stack([sine, cosine, draws[3] * 2 * MAX_SHIFT / height], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


AUGMENTS: dict[str, Augment] = {"affine": affine, "shift": shift}


def augment_images(augment: Augment, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Apply `augment`. Raises DataError unless `images` is a float tensor (batch, channels, h, w)."""
    if images.ndim != 4 or not images.is_floating_point():
        raise DataError(
            f"augmentation takes float images (batch, channels, height, width), "
            f"not {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        )
    return augment(images, generator)
