"""Frames to plain rows and back to missing: one place that knows how pandas says "nothing"."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

Row = dict[str, Any]


def clean(value: Any) -> Any:
    """Return a plain Python value; None for NaN, infinite, NaT and NA; a list for arrays."""
    if isinstance(value, np.ndarray | list | tuple):
        return [clean(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows as dicts of plain values, missing ones None."""
    names = [str(name) for name in frame.columns]
    columns = [[clean(value) for value in frame[name]] for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column as floats, NaN where missing or no number."""
    found: np.ndarray[Any, np.dtype[np.float64]] = pd.to_numeric(frame[name], errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return found
