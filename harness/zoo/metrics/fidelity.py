"""Checks of what metrics compare: outputs with a reference's, or logits with labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.formats.tensors import Array


def flat_pair(
    name: str, outputs: tuple[Array, ...], truth: Array
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `outputs[0]` and the reference outputs `truth`, both as (samples, values) in float64.

    Raises DataError, naming the metric, unless both have the same shape, with at least one value a sample.
    """
    found = outputs[0] if outputs else np.empty(0)
    if found.shape != truth.shape or found.ndim < 1 or found.dtype.kind not in "fiub":
        raise DataError(
            f"{name} takes real outputs of the reference's shape {truth.shape}, "
            f"not {found.dtype} {found.shape}"
        )
    values = int(np.prod(found.shape[1:], dtype=np.int64))
    if values == 0:
        raise DataError(f"{name} takes samples with at least one value, not {found.shape}")
    size = (len(found), values)
    return found.reshape(size).astype(np.float64), truth.reshape(size).astype(np.float64)


def check_labels(name: str, labels: Array, classes: int) -> None:
    """Raise DataError, naming the metric, unless all `labels` are integers in [0, classes)."""
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} takes integer labels, not {labels.dtype}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(f"{name} takes labels from 0 to {classes - 1}, not {labels.min()} to {labels.max()}")
