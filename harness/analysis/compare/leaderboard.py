"""Leaderboards: ranking, Pareto front and budget of each Group, and the Cells that are not ranked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis.compare.budget import (
    INTERVAL,
    WITHIN,
    budget,
    budget_state,
    number,
    rule_of,
    with_state,
)
from harness.analysis.compare.comparison import Comparison, compare, comparison_of, timings_of
from harness.analysis.compare.timing import Timings, ratio_of
from harness.analysis.records.columns import parsed
from harness.stats.ratio import Ratio
from harness.stats.verdict import tells_apart
from harness.stats.winner import Winner, winner_interval
from harness.store.info import GroupInfo
from harness.store.reading import Run

Flags = NDArray[np.bool_]

SMALLER = 0.98
"""An Artifact counts as smaller below this share of the baseline's size; file headers explain less."""


@dataclass(frozen=True)
class Against:
    """How many times faster the best Cell is than another one; the interval is adjusted for the choice."""

    technique: str
    speedup: float
    interval: Winner


@dataclass(frozen=True)
class Board:
    """One Group's leaderboard.

    `rows`: measured Cells that are ranked, fastest first. `off`: measured, but failed their audit.
    `left_out`: skipped and failed. `best` and `smallest` are Cell ids, both within the budget where there is
    one: the fastest of those whose Verdict is faster, and the smallest of those smaller than the baseline.
    `rival`: the next Cell within the budget, if the Run cannot distinguish it from the best. `given`: how the
    best Cell compares with the model as it was given, if that is another Cell than the baseline. `floor`: the
    highest noise floor. `judged`: whether the quality loss of any row is known.
    """

    group: GroupInfo
    rows: list[Comparison]
    off: list[Comparison]
    left_out: list[Comparison]
    max_drop: float | None
    judged: bool
    best: str | None
    smallest: str | None
    floor: float | None
    rival: str | None = None
    given: Against | None = None

    def row(self, cell_id: str | None) -> Comparison | None:
        """Return one Cell's row, or None."""
        return next((row for row in self.rows if row.cell_id == cell_id), None)

    def leading(self, most: int) -> Board:
        """Return the board with its `most` fastest rows and its baseline."""
        if len(self.rows) <= most:
            return self
        return self.only({row.cell_id for row in self.rows[:most]})

    def only(self, cells: Collection[str]) -> Board:
        """Return the board with these Cells and its baseline."""
        return replace(self, rows=[r for r in self.rows if r.cell_id in cells or r.arm == "baseline"])

    @property
    def limited(self) -> bool:
        """Whether a budget could be applied to these Cells."""
        return self.judged and self.max_drop is not None

    @property
    def baseline(self) -> Comparison | None:
        """The baseline's row, if it is on the board."""
        return next((row for row in self.rows if row.arm == "baseline"), None)

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller score is better."""
        return any(row.quality_higher_is_better is False for row in self.rows)

    @property
    def unit(self) -> str:
        """Unit of a quality loss; empty if no quality was measured."""
        return next((row.quality_unit for row in self.rows if row.quality_unit), "")

    @property
    def metric(self) -> str:
        """Name of the quality metric; empty if no quality was measured."""
        return next((row.quality_metric for row in self.rows if row.quality_metric), "")


def boards(run: Run, comparisons: Sequence[Comparison] | None = None) -> list[Board]:
    """Return the boards of all Groups of a Run, in the suite's order."""
    timed = timings_of(run)
    compared = compare(run, timed) if comparisons is None else comparisons
    left_out = [each for each in run.records if each.arm != "control" and each.status != "measured"]
    found = []
    for group in groups(run):
        members = [row for row in compared if row.group_id == group.group_id]
        missing = [comparison_of(each) for each in left_out if each.group_id == group.group_id]
        judged = next((row for row in members if row.quality_metric), None)
        metric, unit = (judged.quality_metric, judged.quality_unit) if judged else ("", "")
        made = board(group, members, missing, budget(run.info, metric or "", unit or ""), rule_of(run.info))
        found.append(_with_winner(made, timed))
    return found


def _with_winner(made: Board, timed: Timings) -> Board:
    """Add what direct comparisons say of the best Cell: its adjusted interval, `rival` and `given`."""
    best, base = made.row(made.best), made.baseline
    if best is None or base is None:
        return made

    def over(row: Comparison) -> Ratio | None:
        """Return how many times faster the best Cell is than `row`."""
        return ratio_of(timed.get((row.cell_id, row.arm)), timed.get((best.cell_id, best.arm)))

    within = [row for row in made.rows if row.within_budget or not made.limited]
    others = [row for row in within if row.speedup is not None and row is not best]
    direct = {row.cell_id: over(row) for row in others}
    chosen_from = [ratio for row in others if row is not base and (ratio := direct[row.cell_id])]

    def against(row: Comparison) -> Against | None:
        ratio = direct.get(row.cell_id) or over(row)
        if ratio is None:
            return None
        return Against(row.technique, ratio.estimate, winner_interval(ratio, chosen_from))

    rows = made.rows
    if found := against(base):
        low, high, candidates = found.interval.low, found.interval.high, found.interval.candidates
        high_or_none = high if isfinite(high) else None
        adjusted = replace(best, winner_low=low, winner_high=high_or_none, winner_candidates=candidates)
        rows = [adjusted if row is best else row for row in rows]
    given = next((row for row in rows if _is_as_given(row)), None)
    return replace(
        made,
        rows=rows,
        rival=_rival(best, others, direct),
        given=None if given is None or given.cell_id in (best.cell_id, base.cell_id) else against(given),
    )


def _is_as_given(row: Comparison) -> bool:
    """Whether a Cell runs the model as its source gives it: without a technique's step and any conversion."""
    return not row.families and row.build_details is not None and not parsed(row.build_details, list)


def _rival(best: Comparison, others: Sequence[Comparison], direct: Mapping[str, Ratio | None]) -> str | None:
    """Return the next Cell after the best, both compared directly, if the Run cannot distinguish them.

    The rule is that of Verdicts: the interval excludes equal speed, and the estimate exceeds the noise floor.
    If it was faster in the Trials that both have, it is no loser either.
    """
    second = next((row for row in others if (row.rank or 0) >= (best.rank or 0)), None)
    if second is None:
        return None
    ratio, floor = direct[second.cell_id], max(second.floor or 0.0, best.floor or 0.0)
    won = ratio is not None and ratio.estimate > 1 and tells_apart(ratio, floor)
    return None if won else second.cell_id


def board(
    group: GroupInfo,
    compared: Sequence[Comparison],
    left_out: Sequence[Comparison],
    max_drop: float | None,
    rule: str = INTERVAL,
) -> Board:
    """Make one Group's board from its compared Cells and those without figures."""
    rows = ranked([row for row in compared if row.on_board])
    losses = [number(row.quality_loss) for row in rows]
    states = [budget_state(row, max_drop, rule) for row in rows]
    within = [WITHIN.get(state or "") for state in states]
    gains = [nan if ok is False else number(row.speedup) for row, ok in zip(rows, within, strict=True)]
    marks = zip(rows, within, pareto_front(gains, losses), strict=True)
    rows = [replace(row, within_budget=ok, pareto=bool(on_front)) for row, ok, on_front in marks]
    rows = [with_state(row, state, max_drop) for row, state in zip(rows, states, strict=True)]
    judged = any(row.quality_loss is not None for row in rows)
    # Without a budget, a Cell whose quality is no number wins nothing either.
    limited = judged and max_drop is not None
    eligible = [
        row
        for row in rows
        if (row.within_budget if limited else not row.quality_metric or row.quality is not None)
    ]
    return Board(
        group,
        rows,
        [row for row in compared if not row.on_board],
        sorted(left_out, key=lambda row: (row.status, row.technique)),
        max_drop,
        judged,
        next((row.cell_id for row in eligible if row.verdict == "faster"), None),
        _smallest(eligible),
        max((row.floor for row in rows if row.floor is not None), default=None),
    )


def ranked(rows: Iterable[Comparison]) -> list[Comparison]:
    """Sort by speed-up, fastest first; rows without one come last. Ties share a rank, ordered by name."""
    ordered = sorted(rows, key=lambda row: (-(row.speedup or -inf), row.technique))
    speeds = [row.speedup for row in ordered]
    ranks = [None if speed is None else speeds.index(speed) + 1 for speed in speeds]
    return [replace(row, rank=rank) for row, rank in zip(ordered, ranks, strict=True)]


def pareto_front(gain: ArrayLike, cost: ArrayLike) -> Flags:
    """Return which points no other point beats, with at least their gain, at most their cost, and one of both
    strictly better. Equal points are flagged alike; points with a missing value are never on the front.
    """
    gains, costs = np.asarray(gain, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    other_gains, other_costs = gains[:, None], costs[:, None]
    beaten = (other_gains >= gains) & (other_costs <= costs) & ((other_gains > gains) | (other_costs < costs))
    front: Flags = ~(beaten.any(axis=0) | np.isnan(gains) | np.isnan(costs))
    return front


def groups(run: Run) -> list[GroupInfo]:
    """Return the Run's Groups; those that only its Records know come last."""
    known = {group.group_id: group for group in run.info.groups}
    for record in run.records:
        if record.group_id not in known:
            known[record.group_id] = GroupInfo(
                group_id=record.group_id,
                model=record.model or "",
                workload=record.workload or "",
                hardware=record.hardware or "",
                scenario=record.scenario or "",
                batch=record.batch or 0,
                device=record.device or "",
                threads=record.threads or 0,
                baseline="",
            )
    return list(known.values())


def _smallest(eligible: Sequence[Comparison]) -> str | None:
    """Return the smallest Artifact, the faster one on a tie; None if none is smaller than the baseline's."""
    small = [row for row in eligible if row.size_ratio is not None and row.size_ratio < SMALLER]
    return min(small, key=lambda row: row.artifact_bytes or 0).cell_id if small else None
