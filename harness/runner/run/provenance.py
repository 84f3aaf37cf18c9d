"""The commit that a Run is made at."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.store.info import Commit


def current_commit(folder: Path) -> Commit | None:
    """Return the commit checked out in `folder`, and whether tracked files were changed; None outside git."""
    head = _git(folder, "log", "-1", "--format=%H%x00%s")
    if not head:
        return None
    commit, _, subject = head.partition("\0")
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return Commit(hash=commit, dirty=dirty, subject=subject)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
