"""The overview of all Groups: a table of speed-ups, technique × Group."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.report.drawing.palette import Family, family_of
from harness.report.group import GroupView
from harness.report.tables import VERDICTS

MAX_TECHNIQUES = 24


@dataclass(frozen=True)
class Glance:
    """Technique × Group: the speed-up with its Verdict, or why there is none.

    `more`: the number of techniques that are not shown.
    """

    places: list[GroupView]
    rows: list[tuple[str, Family, list[dict[str, Any] | None]]]
    more: int = 0


def glance(groups: list[GroupView], wanted: Callable[[Comparison], bool] = lambda _row: True) -> Glance:
    """Return the overview of the `wanted` rows of a Run's Groups.

    If there are too many techniques, the fastest ones and the baselines stay.
    """
    lines = [line for view in groups for line in view.table.lines if wanted(line.record)]
    names: dict[str, Family] = {}
    for line in lines:
        names.setdefault(line.record.technique, family_of(line.record.families, line.record.arm))
    first = [line.record.technique for line in lines if line.best or line.record.arm == "baseline"]
    chosen = set(list(dict.fromkeys([*first, *names]))[:MAX_TECHNIQUES])
    missing = [_missing(view) for view in groups]
    rows = [
        (
            name,
            family,
            [_entry(view, name) or absent.get(name) for view, absent in zip(groups, missing, strict=True)],
        )
        for name, family in names.items()
        if name in chosen
    ]
    return Glance(list(groups), rows, len(names) - len(rows))


def _entry(view: GroupView, technique: str) -> dict[str, Any] | None:
    for line in view.table.lines:
        row = line.record
        if row.technique == technique:
            return {
                "cell": row.cell_id,
                "speedup": line.speedup,
                "state": "",
                "verdict": VERDICTS.get(row.verdict or ""),
                "best": line.best,
                "over": row.within_budget is False,
                "heat": _heat(view, row),
            }
    return None


def _missing(view: GroupView) -> dict[str, dict[str, Any]]:
    """Return why techniques of the Group have no speed-up, by their names."""
    off = [(row, "off the board", "failed an audit") for row in view.board.off]
    out = [(row, row.status, row.reason or "") for row in view.board.left_out]
    return {
        row.technique: {"cell": row.cell_id, "speedup": "", "state": state, "why": say.short(why, 200)}
        for row, state, why in (*out, *off)
    }


def _heat(view: GroupView, row: Comparison) -> int:
    """Return the tint of a speed-up in percent, on a logarithmic scale up to the Group's fastest."""
    fastest = max((line.record.speedup or 1.0) for line in view.table.lines)
    if row.verdict != "faster" or not row.speedup or fastest <= 1:
        return 0
    return round(6 + 28 * math.log(row.speedup) / math.log(fastest))
