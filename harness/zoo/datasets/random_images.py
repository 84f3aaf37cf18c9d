"""Seeded random color images of 224 × 224 pixels, without labels, for models with random weights.

They are sums of smooth random fields from coarse to fine (formats/likely.py). White noise is unsuitable: its
average is the same for every image, so a network's outputs would be the same too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats.likely import smooth
from harness.zoo.registry import DATASETS, Data, Dataset, Split

SIZE = 224
SAMPLES, SEEDS = {"train": 128, "test": 64}, {"train": 1, "test": 2}


def load(split: Split, _root: Path) -> Data:
    """Return images float32 (samples, 3, 224, 224), each of mean 0 and standard deviation 1; no labels."""
    rng = np.random.default_rng(SEEDS[split])
    return Data((np.stack([_image(rng) for _ in range(SAMPLES[split])]),))


def _image(rng: np.random.Generator) -> NDArray[np.float32]:
    image = smooth(rng, 3, SIZE, SIZE)
    image -= image.mean()
    result: NDArray[np.float32] = (image / image.std()).astype(np.float32)
    return result


DATASETS.add(
    "random-images",
    Dataset("random-images", "192 seeded random images, 224 × 224, color, unlabeled", load, random=True),
)
