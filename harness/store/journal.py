"""The journal of a Run in progress: one JSON line per event, written at once.

It survives a crash, a kill and a full disk; `--resume` and the report of an unfinished Run read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store.writing import write_atomic

try:
    import fcntl
except ImportError:  # no POSIX locks: two processes that write one Run are not detected
    fcntl = None  # type: ignore[assignment]

FILE, BALLAST = "journal.jsonl", ".ballast"
BALLAST_BYTES = 4_000_000
"""Reserved disk space; it is freed when the disk is full, so that the last Block still fits."""

Event = dict[str, Any]


class Journal:
    """Appends events. Each is passed to the system at once; `sync` protects them from a power cut.

    Only one process can have a Run's journal open. New events are added to `events` too.
    """

    def __init__(self, folder: Path, events: list[Event] | None = None) -> None:
        self.folder, self.path = folder, folder / FILE
        self.events = [] if events is None else events
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)  # a buffer could write a torn line again later
        except OSError as error:
            self._tidy()
            raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
        self._lock()
        try:
            (folder / BALLAST).write_bytes(os.urandom(BALLAST_BYTES))
            self._end_last_line()
        except OSError as error:
            self.close()
            self._tidy()
            raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error

    def append(self, event: str, **content: Any) -> Event:
        """Write one event. If the disk is full, save it in the reserve and raise StoreError."""
        entry = {"event": event, "at": round(time.time(), 3), **content}
        line = json.dumps(entry, default=str).encode() + b"\n"
        try:
            self._write(line)
        except OSError as error:
            self._rescue(line)
            raise StoreError(
                f"cannot write {self.path}: {error.strerror or error}. What was measured is kept; "
                "free space on the disk, then continue with --resume"
            ) from error
        self.events.append(entry)
        return entry

    def sync(self) -> None:
        """Protect all events from a power cut."""
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file and free the reserve."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            (self.folder / BALLAST).unlink()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise StoreError(f"{self.folder} is being written: that Run is still in progress") from error
        except OSError:  # a file system without locks
            pass

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[self._file.write(left) :]

    def _rescue(self, line: bytes) -> None:
        """Free the reserve and write the event again on a new line; readers skip the torn line."""
        with contextlib.suppress(OSError):
            (self.folder / BALLAST).unlink(missing_ok=True)
            self._write(b"\n" + line)

    def _tidy(self) -> None:
        """Remove an empty journal and its empty folder."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _end_last_line(self) -> None:
        """End the torn line of a killed manager, so that the next event starts on a new line."""
        if self.path.stat().st_size:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
            if torn:
                self._write(b"\n")


def read_journal(folder: Path) -> list[Event]:
    """Read all complete events; torn lines are skipped. Raises StoreError when there is no journal."""
    path = folder / FILE
    events: list[Event] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "event" in event:
                        events.append(event)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    return events


def write_log(folder: Path, events: list[Event]) -> None:
    """Write `log.jsonl`: the journal without the arrays, which are in the Run's tables."""
    bulky = ("calls_ns", "scores", "evidence")
    lines = (json.dumps({k: v for k, v in event.items() if k not in bulky}, default=str) for event in events)
    write_atomic(folder / "log.jsonl", ("\n".join(lines) + "\n").encode())
