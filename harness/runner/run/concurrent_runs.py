"""Other Runs on this machine at the same time: each holds a lock on a file of its own while it lives."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # no POSIX locks: neighbours are not seen
    fcntl = None  # type: ignore[assignment]


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / "accel-harness-runs"


@contextmanager
def announced() -> Iterator[None]:
    """Let other Runs know, for as long as the block lasts, that this one is measuring."""
    path = _folder() / f"{os.getpid()}.lock"
    try:
        file = _locked(path) if fcntl is not None else None
    except OSError:  # the folder cannot be written
        file = None
    if file is None:
        yield
        return
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _locked(path: Path) -> IO[str]:
    """Make the file and lock it, so that nobody takes it for one left behind before it is locked."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir()
        path.parent.chmod(0o1777)  # for everybody on this machine, as the folder it is in
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def others() -> list[int]:
    """Process ids of other Runs that are alive now."""
    alive = []
    for path in _folder().glob("*.lock") if fcntl is not None else ():
        if path.stem == str(os.getpid()):
            continue
        with contextlib.suppress(OSError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()  # left behind by a Run that was killed
            except BlockingIOError:
                alive.append(int(path.stem) if path.stem.isdigit() else 0)
    return alive
