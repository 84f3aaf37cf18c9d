"""Cells that are not on a leaderboard, with the reason: skipped, failed, or failed an audit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words.headline import place
from harness.store.reading import Run

MAX_LINES, MAX_WIDTH = 14, 300
"""Lines of a log that are shown, and characters of a line."""
MAX_TAIL = 16_384
"""Bytes that are read from the end of a log."""


@dataclass(frozen=True)
class Absent:
    """A technique without a rank in the Groups `where`; `state` is skipped, failed or off the board."""

    technique: str
    where: tuple[str, ...]
    state: str
    reason: str
    log: str
    cell_id: str

    def within(self, places: Collection[str]) -> Absent:
        """Return the entry for these Groups only."""
        return replace(self, where=tuple(name for name in self.where if name in places))


def absent(boards: Sequence[Board], run: Run) -> list[Absent]:
    """Return the missing Cells; Cells of one technique with the same reason are one entry."""
    found: dict[tuple[str, str, str], Absent] = {}
    for board in boards:
        for row, state, reason in _rows(board):
            key = (row.technique, state, reason)
            where = place(board.group)
            if key in found:
                found[key] = replace(found[key], where=(*found[key].where, where))
            else:
                log = excerpt(run.folder, row.log) if state == "failed" else ""
                found[key] = Absent(row.technique, (where,), state, reason, log, row.cell_id)
    return list(found.values())


def _rows(board: Board) -> Iterator[tuple[Comparison, str, str]]:
    for row in board.off:
        yield row, "off the board", "; ".join([*(row.notes or ()), *(row.warnings or ())])
    for row in board.left_out:
        stage = f"{row.stage}: " if row.stage else ""
        yield row, row.status, f"{stage}{row.reason or 'no reason was recorded'}"


def excerpt(folder: Path, name: str | None, most: int = MAX_LINES) -> str:
    """Return the last lines of a log inside the Run's folder; empty if there is no log to read."""
    if not name:
        return ""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MAX_TAIL, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [_printable(line)[:MAX_WIDTH] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-most:])


def _printable(line: str) -> str:
    """Remove control characters, such as the color codes of terminals."""
    return "".join(c for c in line.replace("\t", "    ") if c.isprintable())
