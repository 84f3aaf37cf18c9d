"""Who is not on a board and why: skipped, failed, or failed its audit; the same reason is told once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words.headline import place
from harness.report import logs
from harness.store.reading import Run


@dataclass(frozen=True)
class Absent:
    """A technique without figures, or with figures that do not count, in one or more Groups."""

    technique: str
    where: tuple[str, ...]
    what: str
    reason: str
    log: str
    cell_id: str

    def within(self, places: Collection[str]) -> Absent:
        """Return the entry for these Groups alone."""
        return replace(self, where=tuple(name for name in self.where if name in places))


def absent(boards: Sequence[Board], run: Run) -> list[Absent]:
    """Return who is missing; Cells of one technique with the same reason are one entry."""
    found: dict[tuple[str, str, str], Absent] = {}
    for board in boards:
        for row, what, reason in _rows(board):
            key = (row.technique, what, reason)
            where = place(board.group)
            if key in found:
                found[key] = replace(found[key], where=(*found[key].where, where))
            else:
                log = logs.excerpt(run.folder, row.log) if what == "failed" else ""
                found[key] = Absent(row.technique, (where,), what, reason, log, row.cell_id)
    return list(found.values())


def _rows(board: Board) -> Iterator[tuple[Comparison, str, str]]:
    for row in board.off:
        yield row, "off the board", "; ".join([*(row.notes or ()), *(row.warnings or ())])
    for row in board.left_out:
        stage = f"{row.stage}: " if row.stage else ""
        yield row, row.status, f"{stage}{row.reason or 'no reason was recorded'}"
