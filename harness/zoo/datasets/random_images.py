"""Seeded random color images of 224 × 224 pixels, without labels, for models with random weights.

They are sums of smooth random fields from coarse to fine, whose amplitude falls with frequency as in
photographs (Field 1987, "Relations between the statistics of natural images"). White noise is unsuitable:
its average is the same for every image, so a network's outputs would be the same too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.zoo.registry import DATASETS, Data, Dataset, Split

SIZE = 224
GRIDS = (2, 4, 8, 16, 32, 64)
"""Numbers of random values along each side of an image; pixels between them are interpolated."""
SAMPLES, SEEDS = {"train": 128, "test": 64}, {"train": 1, "test": 2}


def load(split: Split, _root: Path) -> Data:
    """Return images float32 (samples, 3, 224, 224), each of mean 0 and standard deviation 1; no labels."""
    rng = np.random.default_rng(SEEDS[split])
    return Data((np.stack([_image(rng) for _ in range(SAMPLES[split])]),))


def _image(rng: np.random.Generator) -> NDArray[np.float32]:
    image = np.zeros((3, SIZE, SIZE))
    for grid in GRIDS:
        spread = _interpolation(grid)
        image += spread @ rng.standard_normal((3, grid, grid)) @ spread.T / np.sqrt(grid)
    image -= image.mean()
    result: NDArray[np.float32] = (image / image.std()).astype(np.float32)
    return result


def _interpolation(grid: int) -> NDArray[np.float64]:
    """Return the matrix (SIZE, grid) that interpolates linearly between `grid` values."""
    places = np.linspace(0, grid - 1, SIZE)
    return np.maximum(0.0, 1.0 - np.abs(places[:, np.newaxis] - np.arange(grid)))


DATASETS.add(
    "random-images",
    Dataset("random-images", "192 seeded random images, 224 × 224, color, unlabeled", load, random=True),
)
