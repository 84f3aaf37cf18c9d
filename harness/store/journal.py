"""The journal of a Run in progress: one JSON line per event, written at once.

It survives a crash, a kill and a full disk; `--resume` and the report of an unfinished Run read it. Timed
calls and scores stay in the file: memory holds a summary of them, and `read_array` reads them again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.store.arrays import unpack
from harness.store.writing import write_atomic

FILE, BALLAST = "journal.jsonl", ".ballast"
BALLAST_BYTES = 4_000_000
"""Reserved disk space; it is freed when the disk is full, so that the last Block still fits."""

ARRAYS = ("calls_ns", "scores", "positions")
"""Fields of events that are not kept in memory: they grow with the calls timed and the samples evaluated."""
PLACE = "place"
"""Field of an event in memory that lacks its arrays: where its line starts in the journal, and its length."""

Event = dict[str, Any]


class Journal:
    """Appends events. Each is passed to the system at once; `sync` protects them from a power cut.

    Only one process can have a Run's journal open. New events are added to `events` too, without arrays.
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
        """Write one event; return it without arrays.

        If the disk is full, save it in the reserve and raise StoreError.
        """
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
        self.events.append(_kept(entry, self._file.tell() - len(line), len(line)))
        return self.events[-1]

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
    """Read all complete events, without arrays; torn lines are skipped.

    Raises StoreError when there is no journal.
    """
    path = folder / FILE
    events: list[Event] = []
    start = 0
    try:
        with path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "event" in event:
                        events.append(_kept(event, start, len(line)))
                start += len(line)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    return events


def read_array(folder: Path, event: Event, name: str) -> NDArray[Any]:
    """Read the array `name` of a kept event from the journal. Raises StoreError."""
    path, (start, length) = folder / FILE, event[PLACE]
    try:
        with path.open("rb") as file:
            file.seek(start)
            return unpack(json.loads(file.read(length))[name])
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"cannot read {path} at byte {start}: {error}") from error


def summarized(event: Event) -> Event:
    """Return the event of a Block with a summary in place of its calls; other events as they are.

    The summary: `calls`, their number, and their `median_s`, `mean_s`, `min_s` and `max_s` in seconds.
    """
    if "calls_ns" not in event:
        return event
    seconds = unpack(event["calls_ns"]) / 1e9
    return {
        **{name: value for name, value in event.items() if name != "calls_ns"},
        "calls": seconds.size,
        "median_s": float(np.median(seconds)),
        "mean_s": float(seconds.mean()),
        "min_s": float(seconds.min()),
        "max_s": float(seconds.max()),
    }


def _kept(event: Event, start: int, length: int) -> Event:
    """Return what is kept in memory of an event, whose line has this place in the journal."""
    if not any(name in event for name in ARRAYS):
        return event
    kept = {name: value for name, value in summarized(event).items() if name not in ARRAYS}
    return {**kept, PLACE: (start, length)}


def write_log(folder: Path, events: list[Event]) -> None:
    """Write `log.jsonl`: the journal without the arrays, which are in the Run's tables."""
    bulky = (*ARRAYS, PLACE, "evidence")
    lines = (json.dumps({k: v for k, v in event.items() if k not in bulky}, default=str) for event in events)
    write_atomic(folder / "log.jsonl", ("\n".join(lines) + "\n").encode())
