"""The splits of a user's data: where they are, how samples are divided, and samples that are in both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.errors import DataError
from harness.formats.tensors import Array
from harness.zoo.registry import Data, Split

TEST_NAMES = ("test", "val", "valid", "validation")
"""Names that the test split may have; the first that exists is taken."""


def find_places(text: str, folder: Path) -> dict[str, Path]:
    """Return the places of the splits, or of both together under an empty name.

    ``{split}`` in the path stands for train and test; a folder may have folders of these names. Raises
    DataError where nothing is there.
    """
    if "{split}" in text:
        named = {split: folder / text.replace("{split}", split) for split in ("train", "test")}
        if found := {split: place for split, place in named.items() if place.exists()}:
            return found
        raise DataError(f"{text}: nothing beside the suite with train or test in place of {{split}}")
    place = folder / text
    if not place.exists():
        raise DataError(f"{text}: no such file or folder beside the suite")
    train = place / "train"
    test = next((place / name for name in TEST_NAMES if (place / name).is_dir()), None)
    if train.is_dir() and test is not None:
        return {"train": train, "test": test}
    if train.is_dir() or test is not None:
        raise DataError(f"{text} has a folder for one split only; it needs train and test")
    return {"": place}


def place_of(text: str, folder: Path, split: Split) -> Path:
    """Return the file or folder that holds a split. Raises DataError where there is none."""
    places = find_places(text, folder)
    place = places.get(split) or places.get("")
    if place is None:
        raise DataError(f"{text}: there is no {text.replace('{split}', split)} beside the suite")
    return place


def side(content: bytes) -> Split:
    """Return the split that a sample of this content belongs to: half of them to each, always the same."""
    return "test" if hashlib.sha256(content).digest()[0] % 2 else "train"


def half(data: Data, split: Split, what: str) -> Data:
    """Return the samples that a hash of their inputs gives to `split`. Raises DataError without any."""
    chosen = np.array([side(row) == split for row in _digests(data.inputs)])
    if not chosen.any():
        raise DataError(f"{what}: none of its {len(data):,} samples falls into the split {split}; give more")
    note = f"one half of {len(data):,} samples, by a hash; the other half is the other split"
    taken = data.take(np.flatnonzero(chosen))
    return Data(taken.inputs, taken.labels, (*data.notes, note), data.warnings)


def overlap(test: Data, load_train: Callable[[], Data | None]) -> tuple[str, ...]:
    """Say how many test samples are in the training split too; empty without any, or without that split."""
    try:
        train = load_train()
    except Exception:  # a user's code; a technique that needs the split reports the error
        return ()
    if train is None or not len(train):
        return ()
    known, seen = set(_digests(train.inputs)), list(_digests(test.inputs))
    shared = sum(row in known for row in seen)
    if shared == len(test) == len(train):
        return (
            f"train and test are the same {shared:,} samples (does the dataset ignore `split`?): "
            "the quality of what was calibrated or trained on them may be overestimated",
        )
    if shared:
        return (
            f"{shared:,} of {len(test):,} test samples are training samples too: "
            "the quality of what was calibrated or trained on them may be overestimated",
        )
    return ()


def _digests(arrays: Sequence[Array]) -> list[bytes]:
    """Return a hash of each sample, over all inputs."""
    return [
        hashlib.blake2b(
            b"".join(np.ascontiguousarray(array[i]).tobytes() for array in arrays), digest_size=16
        ).digest()
        for i in range(len(arrays[0]) if arrays else 0)
    ]
