"""The data of one Cell for its page and its figures: Record, board, Blocks and timed calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.records.roofline import peaks_for
from harness.analysis.words import numbers as say
from harness.report.properties import value_in_words
from harness.store.record import Record
from harness.store.schema import columns

Calls = Mapping[tuple[str, str], Sequence[NDArray[np.int64]]]
"""Timed calls in nanoseconds, by (cell_id, arm): one array per Trial."""

SHOWN_ELSEWHERE = {
    "pipeline",
    "build_details",
    "warnings",
    "cell_id",
    "group_id",
    "technique",
    "status",
    "arm",
    "log",
}


@dataclass(frozen=True)
class Arm:
    """One arm in a Cell's figures: name, color role, calls in seconds by Trial, and Blocks."""

    name: str
    role: str
    trials_s: Sequence[NDArray[np.float64]]
    blocks: pd.DataFrame

    @property
    def calls(self) -> int:
        """Return the number of timed calls of all Trials."""
        return sum(part.size for part in self.trials_s)


@dataclass(frozen=True)
class CellView:
    """One Cell. `arms`: the Cell, then the arm that it is compared with.

    `memory_bandwidth_bytes_per_s` was measured with the Cell's number of threads; None if unknown.
    """

    row: Comparison
    board: Board
    arms: tuple[Arm, ...]
    memory_bandwidth_bytes_per_s: float | None = None


def cell_view(
    row: Comparison,
    board: Board,
    blocks: Mapping[tuple[str, str], pd.DataFrame],
    calls: Calls,
    peaks: Sequence[Mapping[str, Any]] = (),
) -> CellView:
    """Return the data of a Cell and of its Group's baseline; arms without Blocks are left out."""
    base = board.group.baseline
    mine = (row.cell_id, row.arm)
    wanted = [(mine, say.short(row.technique, 28), "accent")]
    if row.arm == "baseline":
        wanted.append(((base, "control"), "control (same code)", "muted"))
    else:
        name = board.baseline.technique if board.baseline else "baseline"
        wanted.append(((base, "baseline"), f"{say.short(name, 20)} (baseline)", "muted"))
    arms = tuple(
        Arm(name, role, [part / 1e9 for part in calls.get(key, ())], blocks[key])
        for key, name, role in wanted
        if key in blocks
    )
    measured = peaks_for(row, peaks)
    return CellView(row, board, arms, measured["memory_bandwidth_bytes_per_s"] if measured else None)


def by_arm(blocks: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Split the Blocks of a Run by (cell_id, arm), in the order they were measured."""
    ordered = blocks.sort_values(["trial", "round", "order"], kind="stable")
    return {
        (str(cell), str(arm)): part for (cell, arm), part in ordered.groupby(["cell_id", "arm"], sort=False)
    }


def columns_of_record(row: Comparison) -> list[tuple[str, str, str]]:
    """Return every column of a Record as name, text and meaning, without unknown values."""
    found = []
    for column in columns(Record):
        value = getattr(row, column.name)
        if column.name not in SHOWN_ELSEWHERE and (text := _text(column.name, column.kind, value)):
            found.append((column.name, text, column.meaning))
    return found


def _text(name: str, kind: str, value: Any) -> str:
    """Write a column's value with its unit, a JSON column in words; empty if there is no value."""
    if kind != "json":
        return value if isinstance(value, str) else value_in_words(name, value)
    try:
        return value_in_words(name, json.loads(value or "null"), named=True)
    except ValueError:
        return str(value)
