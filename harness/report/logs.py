"""The end of a worker's log, for a Cell that failed."""

from __future__ import annotations

from pathlib import Path

LINES = 14
LONGEST = 300
TAIL = 16_384


def excerpt(folder: Path, name: str | None, most: int = LINES) -> str:
    """Return the last lines of a log that lies in the Run's folder; empty where there is none to read."""
    if not name:
        return ""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [_printable(line)[:LONGEST] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-most:])


def _printable(line: str) -> str:
    """Without control characters, which terminals' colours are made of."""
    return "".join(c for c in line.replace("\t", "    ") if c.isprintable())
