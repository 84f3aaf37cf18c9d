"""Exports for other programs: all Records as CSV, the leaderboards as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Against, Board, boards
from harness.analysis.words import headline
from harness.report.exports.registry import export
from harness.store.reading import Run
from harness.store.schema import columns, values

Boarded = tuple[Run, list[Board]]

FIRST = ["suite", "run_id", "started_at", "machine_id", "rank", "pareto", "budget", "within_budget"]
RISKY = ("=", "+", "-", "@", "\t", "\r")


def cells_csv(runs: Sequence[Boarded]) -> str:
    """Return all Records of the Runs with their comparison, one per row."""
    names = [*FIRST, *(column.name for column in columns(Comparison) if column.name not in FIRST)]
    rows = [row for run, all_boards in runs for row in _rows(run, all_boards)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names if rows else FIRST)
    table.writerows([_flat(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def board_json(runs: Sequence[Boarded]) -> str:
    """Return the leaderboards of the Runs: machine, Groups, ranked rows, and the answers in words."""
    content = [
        {
            "suite": run.info.suite,
            "run_id": run.info.run_id,
            "started_at": run.info.started_at,
            "commit": run.info.commit.model_dump() if run.info.commit else None,
            "repositories": [found.model_dump() for found in run.info.repositories or ()],
            "machine": run.info.machine,
            "grade": run.info.grade,
            "trust": headline.trust(run.info),
            "groups": [_board(board) for board in all_boards],
        }
        for run, all_boards in runs
    ]
    return json.dumps({"format": 1, "runs": content}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _board(board: Board) -> dict[str, Any]:
    return {
        **board.group.model_dump(),
        "max_drop": board.max_drop,
        "noise_floor": board.floor,
        "best": board.best,
        "best_against_model_as_given": _against(board.given),
        "smallest": board.smallest,
        "answers": [sentence.plain() for sentence in headline.answers(board)],
        "rows": [values(row) for row in board.rows],
        "off_board": [values(row) for row in board.off],
        "left_out": [values(row) for row in board.left_out],
    }


def _against(found: Against | None) -> dict[str, Any] | None:
    """Return the technique of the model as given, and the best Cell's speed-up over it with its interval."""
    if found is None:
        return None
    low, high = found.interval.low, found.interval.high
    known = {"technique": found.technique, "speedup": found.speedup, "speedup_low": low}
    return known | {"speedup_high": high if isfinite(high) else None}


def _rows(run: Run, all_boards: list[Board]) -> list[dict[str, Any]]:
    """Return the rows of a Run's leaderboards, with suite, Run id, date and machine."""
    known = {
        "suite": run.info.suite,
        "run_id": run.info.run_id,
        "started_at": run.info.started_at,
        "machine_id": str(run.info.machine.get("id") or ""),
    }
    return [known | values(row) for board in all_boards for row in (*board.rows, *board.off, *board.left_out)]


def _flat(value: Any) -> Any:
    """Return one cell of the CSV: lists joined; text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, list):
        value = "; ".join(str(part) for part in value)
    if isinstance(value, str) and value.startswith(RISKY):
        return f"'{value}"
    return value


@export("csv", "all Records with their verdicts, one per row")
def as_csv(run: Run) -> str:
    """Return the Records as CSV."""
    return cells_csv([(run, boards(run))])


@export("json", "the leaderboards, with the answers in words")
def as_json(run: Run) -> str:
    """Return the leaderboards as JSON."""
    return board_json([(run, boards(run))])
