"""What is not on a leaderboard, and the end of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.compare.leaderboard import Board
from harness.analysis.words.causes import WARNING, Cause, causes
from harness.store.reading import Run

MAX_LINES, MAX_WIDTH = 14, 300
"""Lines of a log that are shown, and characters of a line."""
MAX_TAIL = 16_384
"""Bytes that are read from the end of a log."""


@dataclass(frozen=True)
class Absent:
    """A cause, and the end of the log of a Cell that failed."""

    cause: Cause
    log: str


def absent(boards: Sequence[Board], run: Run) -> tuple[list[Absent], list[Absent]]:
    """Return the causes of missing Cells, and the warnings."""
    found = [Absent(cause, excerpt(run.folder, cause.log)) for cause in causes(boards)]
    warned = [one for one in found if one.cause.state == WARNING]
    return [one for one in found if one.cause.state != WARNING], warned


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
