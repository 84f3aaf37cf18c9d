"""Who leads: ranking, Pareto front and budget of each Group, and who is not on the board and why."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.analysis.compare.comparison import compare
from harness.analysis.compare.timing import between
from harness.analysis.frames import Row, numbers, records
from harness.stats.verdict import tells_apart
from harness.store.info import GroupInfo, RunInfo
from harness.store.reading import Run
from harness.units import POINTS

Flags = NDArray[np.bool_]

SMALLER = 0.98
"""Share of the baseline's size from which on an Artifact counts as smaller: below is a matter of headers."""


@dataclass(frozen=True)
class Board:
    """One Group's leaderboard.

    `rows`: measured Cells in good standing, fastest first, with the columns of `comparison.compare` and
    ``rank`` (from 1; missing without a speed-up), ``pareto`` and ``within`` (the budget; missing without
    quality or without a budget). `off`: measured, but failed their audit. `left_out`: skipped and failed.
    `best` and `smallest` are Cell ids, both within the budget where there is one: the fastest of those whose
    Verdict is faster, and the smallest of those smaller than the baseline. `rival`: the next Cell within the
    budget, where the Run cannot tell it from the best.
    """

    group: GroupInfo
    rows: pd.DataFrame
    off: pd.DataFrame
    left_out: pd.DataFrame
    max_drop: float | None
    judged: bool
    best: str | None
    smallest: str | None
    floor: float | None
    rival: str | None = None

    @cached_property
    def records(self) -> list[Row]:
        """`rows` as dicts, missing values None."""
        return records(self.rows)

    def row(self, cell_id: str | None) -> Row | None:
        """Return one Cell's row, or None."""
        return next((row for row in self.records if row["cell_id"] == cell_id), None)

    def leading(self, most: int) -> Board:
        """Return the board cut to its `most` fastest rows; its baseline stays."""
        if len(self.rows) <= most:
            return self
        return self.only({row["cell_id"] for row in self.records[:most]})

    def only(self, cells: Collection[str]) -> Board:
        """Return the board with these Cells, and its baseline, alone."""
        kept = self.rows["cell_id"].isin(list(cells)) | (self.rows["arm"] == "baseline")
        return replace(self, rows=self.rows[kept].reset_index(drop=True))

    @property
    def limited(self) -> bool:
        """Whether a budget could be held against these Cells."""
        return self.judged and self.max_drop is not None

    @property
    def baseline(self) -> Row | None:
        """The baseline's row, if it is on the board."""
        return next((row for row in self.records if row["arm"] == "baseline"), None)

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller score is better."""
        return any(row["quality_higher_is_better"] is False for row in self.records)

    @property
    def unit(self) -> str:
        """Unit of a drop in quality; empty where nothing was judged."""
        return next((row["quality_unit"] for row in self.records if row["quality_unit"]), "")

    @property
    def metric(self) -> str:
        """Name of the quality metric; empty where nothing was judged."""
        return next((row["quality_metric"] for row in self.records if row["quality_metric"]), "")


def boards(run: Run, comparison: pd.DataFrame | None = None) -> list[Board]:
    """Return the boards of all Groups of a Run, in the suite's order."""
    compared = compare(run) if comparison is None else comparison
    cells = run.cells[run.cells["arm"] != "control"]
    found = []
    for group in groups(run):
        members = compared[compared["group_id"] == group.group_id]
        left_out = cells[(cells["group_id"] == group.group_id) & (cells["status"] != "measured")]
        judged = next((row for row in records(members) if row["quality_metric"]), {})
        limit = budget(run.info, judged.get("quality_metric") or "", judged.get("quality_unit") or "")
        made = board(group, members, left_out, limit)
        found.append(replace(made, rival=_rival(run, made)))
    return found


def _rival(run: Run, made: Board) -> str | None:
    """The next after the best, both compared directly, where the Run cannot tell them apart.

    By the rule of the Verdict: the interval excludes equal speed, and the estimate is farther from it than
    what identical code showed while they were measured.
    """
    after = [row for row in made.records if row["within"] or not made.limited]
    known = {row["cell_id"]: row for row in after if row["speedup"] is not None}
    ids = list(known)
    if made.best is None or made.best not in ids or ids.index(made.best) + 1 == len(ids):
        return None
    second = ids[ids.index(made.best) + 1]
    ratio = between(run, second, made.best)
    floor = max(known[cell]["floor"] or 0.0 for cell in (second, made.best))
    return second if ratio is None or not tells_apart(ratio, floor) else None


def board(group: GroupInfo, compared: pd.DataFrame, left_out: pd.DataFrame, max_drop: float | None) -> Board:
    """Make one Group's board from its compared Cells and those that have no figures."""
    standing = compared["on_board"].to_numpy(dtype=bool)
    rows = ranked(compared[standing])
    drops = numbers(rows, "drop")
    judged = bool(np.isfinite(drops).any())
    within = within_budget(drops, max_drop)
    rows["within"] = within
    over = np.array([flag is False for flag in within], dtype=bool)
    rows["pareto"] = pareto_front(np.where(over, np.nan, numbers(rows, "speedup")), drops)
    eligible = np.array([flag is True for flag in within], dtype=bool)
    if not judged or max_drop is None:
        eligible = ~_answers_are_no_numbers(rows)
    floors = numbers(rows, "floor")
    return Board(
        group,
        rows,
        compared[~standing].reset_index(drop=True),
        left_out.sort_values(["status", "technique"]).reset_index(drop=True),
        max_drop,
        judged,
        _best(rows, eligible),
        _smallest(rows, eligible),
        float(np.nanmax(floors)) if np.isfinite(floors).any() else None,
    )


def _answers_are_no_numbers(rows: pd.DataFrame) -> np.ndarray:
    """Rows whose quality was asked for and is infinite or NaN: without a budget they win nothing either."""
    asked = rows["quality_metric"].notna().to_numpy(dtype=bool)
    return np.asarray(asked & ~np.isfinite(numbers(rows, "quality")))


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort by speed-up, fastest first; those without one come last. Ties go by the technique's name."""
    by_name = rows.sort_values("technique", kind="stable")
    ordered = by_name.sort_values("speedup", ascending=False, kind="stable", na_position="last")
    ordered = ordered.reset_index(drop=True)
    ordered["rank"] = numbers(ordered, "speedup")
    ordered["rank"] = ordered["rank"].rank(ascending=False, method="min")
    return ordered


def pareto_front(gain: ArrayLike, cost: ArrayLike) -> Flags:
    """Flag the points that no other beats: none has at least their gain at no more cost, and one of both
    strictly better. Equal points stand or fall together; points with a missing value are never on the front.
    """
    gains, costs = np.asarray(gain, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    known = np.flatnonzero(~(np.isnan(gains) | np.isnan(costs)))
    front = np.zeros(gains.size, dtype=bool)
    cheapest = np.inf
    order = known[np.lexsort((costs[known], -gains[known]))]
    previous: tuple[float, float] | None = None
    for index in order:
        point = (float(gains[index]), float(costs[index]))
        # Sorted by falling gain: a point stands when it is cheaper than all before it, or equals the last.
        if point[1] < cheapest or point == previous:
            front[index] = True
            cheapest, previous = point[1], point
    return front


def within_budget(drops: ArrayLike, max_drop: float | None) -> list[bool | None]:
    """Say for each drop whether it is within the budget; None where the drop or the budget is missing."""
    values = np.asarray(drops, dtype=np.float64)
    return [None if max_drop is None or np.isnan(drop) else bool(drop <= max_drop) for drop in values]


def budget(info: RunInfo, metric: str = "", unit: str = POINTS) -> float | None:
    """Return the largest allowed drop of a metric in its unit, or None without a budget.

    `max_drop` (0.5 of ``0.5`` or ``0.5pt``) counts in points, so it holds for metrics of that unit alone.
    """
    own = info.quality.get("by_metric")
    if isinstance(own, dict) and isinstance(own.get(metric), int | float):
        return float(own[metric])
    if metric and unit != POINTS:
        return None
    value: Any = info.quality.get("max_drop")
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+(?:[eE][-+]?\d+)?)\s*[a-z%]*\s*", value)
        value = float(match[1]) if match else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def groups(run: Run) -> list[GroupInfo]:
    """Return the Run's Groups; those that only its Records know of come last."""
    known = list(run.info.groups)
    ids = {group.group_id for group in known}
    for row in records(run.cells.drop_duplicates("group_id")):
        if row["group_id"] not in ids:
            fields: Row = {name: row[name] or "" for name in ("model", "workload", "hardware", "scenario")}
            fields |= {"group_id": row["group_id"], "baseline": "", "device": row["device"] or ""}
            fields |= {name: int(row[name] or 0) for name in ("batch", "threads")}
            known.append(GroupInfo(**fields))
    return known


def _best(rows: pd.DataFrame, eligible: Flags) -> str | None:
    faster = rows[eligible & (rows["verdict"] == "faster").to_numpy(dtype=bool)]
    return str(faster["cell_id"].iloc[0]) if len(faster) else None


def _smallest(rows: pd.DataFrame, eligible: Flags) -> str | None:
    """Smallest Artifact among the eligible, the faster one on a tie; None where none beats the baseline."""
    ratios = numbers(rows, "size_ratio")
    small = rows[eligible & (np.nan_to_num(ratios, nan=np.inf) < SMALLER)]
    if small.empty:
        return None
    return str(small.sort_values("artifact_bytes", kind="stable")["cell_id"].iloc[0])
