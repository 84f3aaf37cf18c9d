"""Write files whole or not at all, and make folders that belong to one process."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from harness.errors import StoreError


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` as `replacing` does; a device or a pipe is written directly."""
    if not path.name:  # "" and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # a device or a pipe, which must stay one
        path.write_bytes(data)
        return
    with replacing(path) as file:
        file.write(data)


def make_writable(folder: Path, what: str, remedy: str) -> None:
    """Make a folder unless it exists. Raises StoreError, with a remedy, if it is read-only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreError(f"cannot write {what} {folder}: {error.strerror or error}; {remedy}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file, and rename it to `path` in the end: a crash leaves the old file or the new one.

    Raises OSError when the disk is full or the folder cannot be written. After any error the temporary file
    is removed.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staged.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise


def make_folder(parent: Path, purpose: str) -> Path:
    """Make an empty folder of this process in `parent`; first remove those of processes that have ended."""
    sweep(parent, purpose)
    return Path(tempfile.mkdtemp(prefix=f"{_prefix(purpose)}{os.getpid()}-", dir=parent))


def sweep(parent: Path, purpose: str) -> None:
    """Remove the folders of this purpose whose processes, on this machine, have ended."""
    prefix = _prefix(purpose)
    for folder in parent.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(purpose: str) -> str:
    """Return the prefix of folder names; it names the machine, since machines may share a cache."""
    return f"{purpose}-{platform.node()}-"
