"""Refuse input that has no statistic: empty, not finite, not positive, out of range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError

Array = npt.NDArray[np.float64]
Values = npt.ArrayLike


def numbers(values: Values, what: str, *, positive: bool = False) -> Array:
    """Return `values` as a 1-D float array of at least one finite number, with `positive` above 0.

    `what` names the values in the message. Raises HarnessError otherwise.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise HarnessError(f"{what}: expected numbers, got something else ({error}).") from error
    if array.ndim != 1:
        raise HarnessError(f"{what}: expected a flat list of numbers, got an array of shape {array.shape}.")
    if array.size == 0:
        raise HarnessError(f"{what}: there are no values; measure at least one.")
    # One pass for all three faults: a minimum is NaN if any value is.
    least, most = float(array.min()), float(array.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise HarnessError(f"{what}: contains a value that is not a finite number (NaN or infinity).")
    if positive and least <= 0:
        raise HarnessError(f"{what}: contains {least:g}; times and rates must be greater than 0.")
    return array


def trials(arm: Sequence[Values], what: str) -> list[Array]:
    """Return the Trials of one arm, each a 1-D array of positive Block statistics, or raise HarnessError."""
    if len(arm) == 0:
        raise HarnessError(f"{what}: there are no Trials; measure at least one.")
    return [numbers(blocks, f"{what}, Trial {index + 1}", positive=True) for index, blocks in enumerate(arm)]


def fraction(value: float, what: str) -> float:
    """Return `value` if it lies strictly between 0 and 1, or raise HarnessError."""
    if not 0 < value < 1:
        raise HarnessError(f"{what} must lie between 0 and 1 (both excluded), got {value}.")
    return float(value)


def above_zero(value: float, what: str) -> float:
    """Return `value` if it is finite and greater than 0, or raise HarnessError."""
    if not (np.isfinite(value) and value > 0):
        raise HarnessError(f"{what} must be a finite number greater than 0, got {value}.")
    return float(value)
