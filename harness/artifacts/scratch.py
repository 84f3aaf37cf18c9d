"""Folders that belong to one process, and are found and removed when it was killed before it could."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

import psutil


def make_folder(parent: Path, purpose: str) -> Path:
    """Make an empty folder of this process in `parent`; first remove those of processes that have gone."""
    sweep(parent, purpose)
    return Path(tempfile.mkdtemp(prefix=f"{_prefix(purpose)}{os.getpid()}-", dir=parent))


def sweep(parent: Path, purpose: str) -> None:
    """Remove the folders of this purpose whose processes, on this machine, have gone."""
    prefix = _prefix(purpose)
    for folder in parent.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(purpose: str) -> str:
    """A cache may be shared between machines, so a process is named with its machine."""
    return f"{purpose}-{platform.node()}-"
