"""Frames to plain rows and back to missing: one place that knows how pandas says "nothing"."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from harness.store.schema import CELLS

Row = dict[str, Any]

_WHOLE = {column.name for column in CELLS if column.kind == "int"} | {"rank", "discordant"}
"""Columns of whole numbers: pandas turns them into floats where one is missing."""


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
    columns = [_column(frame, name) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    values = [clean(value) for value in frame[name]]
    if name in _WHOLE:
        return [int(value) if isinstance(value, float) else value for value in values]
    return values


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column as floats, NaN where missing or no number."""
    found: np.ndarray[Any, np.dtype[np.float64]] = pd.to_numeric(frame[name], errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return found
