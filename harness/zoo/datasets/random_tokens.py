"""Seeded random samples in the shape of the model's inputs: token ids, and numbers such as a cache."""

from __future__ import annotations

import numpy as np

from harness.formats.tensors import TensorSpec, describe_random, random_arrays
from harness.zoo.registry import DATASETS, Data, Dataset, Split

SAMPLES, SEEDS = {"train": 64, "test": 16}, {"train": 1, "test": 2}
MAX_BYTES, MIN_SAMPLES = 160_000_000, 4
"""A split of large samples is cut to MAX_BYTES, but not below MIN_SAMPLES."""


def generate(split: Split, inputs: tuple[TensorSpec, ...]) -> Data:
    """Return samples for `inputs` that look like real ones (formats/likely.py); no labels."""
    rng = np.random.default_rng(SEEDS[split])
    sample_bytes = max(sum(spec.sample_bytes() for spec in inputs), 1)
    samples = min(SAMPLES[split], max(MAX_BYTES // sample_bytes, MIN_SAMPLES))
    return Data(random_arrays(inputs, samples, rng), notes=describe_random(inputs))


DATASETS.add(
    "random-tokens",
    Dataset(
        "random-tokens",
        "seeded random samples in the shape of a model's inputs, unlabeled",
        generate=generate,
        random=True,
    ),
)
