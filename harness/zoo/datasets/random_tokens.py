"""Seeded random items in the shape of the model's own inputs: token ids, and numbers such as a cache."""

from __future__ import annotations

import numpy as np

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import DATASETS, Data, Dataset, Split

ITEMS, SEEDS = {"train": 64, "test": 16}, {"train": 1, "test": 2}
MAX_BYTES, FEWEST = 160_000_000, 4
"""A split is cut to so many bytes, where an item is large, but not below so many items."""


def generate(split: Split, inputs: tuple[TensorSpec, ...]) -> Data:
    """Return items for `inputs`: ids evenly from [0, high), floats standard normal; no labels."""
    rng = np.random.default_rng(SEEDS[split])
    sample_bytes = sum(spec.sample_bytes() for spec in inputs)
    samples = min(ITEMS[split], max(MAX_BYTES // sample_bytes, FEWEST))
    return Data(tuple(spec.random(samples, rng) for spec in inputs))


DATASETS.add(
    "random-tokens",
    Dataset(
        "random-tokens", "seeded random items in the shape of a model's inputs, unlabelled", generate=generate
    ),
)
