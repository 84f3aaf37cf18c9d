"""Seeded random samples in the shape of the model's inputs: token ids, and numbers such as a cache."""

from __future__ import annotations

import numpy as np

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import DATASETS, Data, Dataset, Split

SAMPLES, SEEDS = {"train": 64, "test": 16}, {"train": 1, "test": 2}
MAX_BYTES, MIN_SAMPLES = 160_000_000, 4
"""A split of large samples is cut to MAX_BYTES, but not below MIN_SAMPLES."""


def generate(split: Split, inputs: tuple[TensorSpec, ...]) -> Data:
    """Return samples for `inputs`: ids uniform in [0, high), floats standard normal; no labels."""
    rng = np.random.default_rng(SEEDS[split])
    sample_bytes = max(sum(spec.sample_bytes() for spec in inputs), 1)
    samples = min(SAMPLES[split], max(MAX_BYTES // sample_bytes, MIN_SAMPLES))
    return Data(tuple(spec.random(samples, rng) for spec in inputs))


DATASETS.add(
    "random-tokens",
    Dataset(
        "random-tokens",
        "seeded random samples in the shape of a model's inputs, unlabeled",
        generate=generate,
        random=True,
    ),
)
