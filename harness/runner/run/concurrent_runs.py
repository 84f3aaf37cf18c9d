"""Other Runs on this machine at the same time: each holds a lock on a file of its own while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from harness.runner.progress import Observer

DISTURBED = (
    "another Run of the harness is active on this machine (process {pids}): "
    "the two disturb each other, so do not trust the results of either"
)


def disturbed(pids: Iterable[int]) -> str:
    """Say that these other Runs are, or were, active."""
    return DISTURBED.format(pids=", ".join(map(str, sorted(set(pids)))))


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / "accel-harness-runs"


@contextmanager
def announced() -> Iterator[None]:
    """Let other Runs see, until the ``with`` block ends, that this one is measuring."""
    path = _folder() / f"{os.getpid()}.lock"
    file: IO[str] | None = None
    with contextlib.suppress(OSError):  # the folder cannot be written
        file = _locked(path)
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError), file:
                path.unlink()


def _locked(path: Path) -> IO[str]:
    """Make the file and lock it; make it again where another Run removed it before it was locked."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir()
        path.parent.chmod(0o1777)  # every user of this machine may write, as in the folder above
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def others() -> list[int]:
    """Return the process ids of other Runs that are active now."""
    alive = []
    for path in _folder().glob("*.lock"):
        if path.stem == str(os.getpid()):
            continue
        with contextlib.suppress(OSError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()  # its Run was killed
            except BlockingIOError:
                alive.append(int(path.stem) if path.stem.isdigit() else 0)
    return alive


class Others:
    """Records and tells that other Runs are active: once, and again only if one more appears."""

    def __init__(self, record: Callable[..., Any], observer: Observer) -> None:
        self._record, self._observer = record, observer
        self._known: set[int] = set()

    def report(self) -> None:
        """Look for other Runs."""
        pids = set(others())
        if pids - self._known:
            self._record("notice", text=disturbed(pids), pids=sorted(pids))
            self._observer.notice(disturbed(pids))
        self._known = pids
