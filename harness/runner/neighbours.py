"""Other Runs on this machine at the same time: each holds a lock on a file of its own while it lives."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX locks: neighbours are not seen
    fcntl = None  # type: ignore[assignment]


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / "accel-harness-runs"


@contextmanager
def announced() -> Iterator[None]:
    """Let other Runs know, for as long as the block lasts, that this one is measuring."""
    folder = _folder()
    path = folder / f"{os.getpid()}.lock"
    if fcntl is None:
        yield
        return
    try:
        folder.mkdir(mode=0o777, exist_ok=True)
        file = path.open("w")
    except OSError:  # a shared machine's folder may belong to somebody else
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def others() -> list[int]:
    """Process ids of other Runs that are alive now."""
    alive = []
    for path in _folder().glob("*.lock") if fcntl is not None else ():
        if path.stem == str(os.getpid()):
            continue
        with contextlib.suppress(OSError), path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()  # left behind by a Run that was killed
            except BlockingIOError:
                alive.append(int(path.stem) if path.stem.isdigit() else 0)
    return alive
