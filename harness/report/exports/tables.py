"""The report's downloads, of one Run: all Records as CSV, the boards as JSON."""

from __future__ import annotations

from harness.analysis.leaderboard import boards
from harness.report.downloads import board_json, cells_csv
from harness.report.exports.registry import export
from harness.store.reading import Run


@export("csv", "every Record with its verdict, one a row")
def as_csv(run: Run) -> str:
    """Return the Records as CSV."""
    return cells_csv([(run, boards(run))])


@export("json", "the ranked boards with their answers in words")
def as_json(run: Run) -> str:
    """Return the boards as JSON."""
    return board_json([(run, boards(run))])
