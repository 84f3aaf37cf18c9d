"""A user's own metric, ``package.module:function``: the function takes outputs and labels of all samples.

It returns an array with a score for each sample, or one number for all. Its attributes `unit`,
`higher_is_better` (True) and `needs_reference` (False) say what the number means.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, describe
from harness.formats.tensors import Array
from harness.formats.user_function import import_function
from harness.stats.jackknife import sample_values
from harness.zoo.registry import METRICS, Metric


class UserMetric:
    """Calls the function; one number for all samples gets its spread from leaving out samples (jackknife)."""

    needs_all = True
    """`score` is called once, with the outputs of all samples."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self._function = name, function
        self.summary = (function.__doc__ or name).strip().partition("\n")[0]
        self.unit = str(getattr(function, "unit", ""))
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.needs_reference = bool(getattr(function, "needs_reference", False))

    def score(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        """Return a score for each of all samples. Raises DataError where the function returns no numbers."""
        found = self._call(outputs, truth)
        n = len(truth)
        if found.ndim == 0:
            return sample_values(
                n, lambda chosen: float(self._call(tuple(part[chosen] for part in outputs), truth[chosen]))
            )
        if found.shape != (n,):
            raise DataError(f"{self.name} returned shape {found.shape}; return ({n},) scores, or one number")
        return found

    def misfit(self, outputs: tuple[Array, ...], truth: Array) -> str | None:
        """Return why the function cannot be called with these."""
        try:
            found = self._call(outputs, truth)
        except DataError as error:
            return str(error)
        fits = found.shape in ((), (len(truth),))
        return (
            None
            if fits
            else f"{self.name} returned shape {found.shape}; return ({len(truth)},) or one number"
        )

    def _call(self, outputs: tuple[Array, ...], truth: Array) -> NDArray[np.float64]:
        try:
            result = self._function(outputs[0] if len(outputs) == 1 else outputs, truth)
            return np.asarray(result, dtype=np.float64)
        except Exception as error:  # a user's code may raise anything
            raise DataError(f"{self.name} failed: {describe(error)}") from error


def find_metric(name: str, folder: Path) -> Metric:
    """Return the registered metric, or the user's function, whose module may lie in `folder`."""
    if name in METRICS:
        return METRICS.get(name)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        return UserMetric(name, import_function(name))
    except Exception as error:  # a user's code may raise anything
        raise DataError(f"the metric {name} cannot be imported: {describe(error)}") from error
