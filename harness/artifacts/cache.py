"""The content-addressed Artifact cache: `<root>/artifacts/<key>/`. Several processes may share it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import (
    MANIFEST,
    Artifact,
    content_digest,
    payload_bytes,
    read_artifact,
    zstd_bytes,
)
from harness.errors import BuildError
from harness.files import make_folder, make_writable, sweep

_STAGING = ".building"


def default_root() -> Path:
    """Return the cache's folder: `$HARNESS_CACHE`, or `.cache/harness` in the working folder."""
    return Path(os.environ.get("HARNESS_CACHE") or ".cache/harness").resolve()


def user_root() -> Path:
    """Return the folder of what all working folders of a user share, such as the machine's peaks.

    It is `$HARNESS_CACHE`, or `accel-harness` in `$XDG_CACHE_HOME` or `~/.cache`.
    """
    if os.environ.get("HARNESS_CACHE"):
        return default_root()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "accel-harness"
    except RuntimeError:  # a user without a home
        return default_root()


def digest(content: Any) -> str:
    """Return a stable 20-digit hash of JSON-able content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Cache:
    """Artifacts by key. An entry is written in another folder and renamed, so that it is always complete."""

    def __init__(self, root: Path | None = None) -> None:
        self.root, self.user_root = root or default_root(), root or user_root()
        self.folder = self.root / "artifacts"
        self.inductor = self.root / "inductor"

    def get(self, key: str) -> Artifact | None:
        """Return the Artifact of this key, or None. A damaged one counts as missing and is removed."""
        folder = self.folder / key
        if not key or not folder.is_dir():
            return None
        try:
            artifact = read_artifact(folder)
        except BuildError:
            artifact = None
        if artifact is None or payload_bytes(folder) != artifact.payload_bytes:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):  # a cache that only others may write
            os.utime(folder / MANIFEST)  # when it was used last, for `collect`
        return artifact

    def make(self) -> None:
        """Make the cache's folder. Raises StoreError where nothing can be put there."""
        remedy = "set HARNESS_CACHE to a folder that can be written"
        make_writable(self.folder, "the Artifact cache", remedy)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder to build in; it is removed at the end unless `put` moved it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = make_folder(self.folder, _STAGING)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the folders of builds that were killed."""
        sweep(self.folder, _STAGING)

    def put(
        self,
        key: str,
        format: str,
        staged: Path,
        steps: list[dict[str, Any]],
        statistics: dict[str, float],
        *,
        warnings: tuple[str, ...] = (),
    ) -> Artifact:
        """Move a finished build to its place. If another process was first, its Artifact is kept."""
        size, content = payload_bytes(staged), content_digest(staged)
        compressed = zstd_bytes(staged) if format != "data" else None
        artifact = Artifact(
            key, format, staged, size, tuple(steps), statistics, content, compressed, warnings
        )
        artifact.write_manifest()
        place = self.folder / key
        with contextlib.suppress(OSError):  # taken: another process built the same key
            staged.rename(place)
        found = self.get(key)
        if found is None:
            raise BuildError(f"the Artifact cache {self.folder} cannot be written")
        return found

    def entries(self) -> list[Artifact]:
        """Return all Artifacts, largest first."""
        found = []
        for manifest in self.folder.glob(f"*/{MANIFEST}"):
            with contextlib.suppress(BuildError):
                found.append(read_artifact(manifest.parent))
        return sorted(found, key=lambda artifact: -artifact.payload_bytes)

    def collect(self, older_than_s: float = math.inf, max_bytes: float = math.inf) -> list[Artifact]:
        """Remove Artifacts that were not used for `older_than_s`; return them, the longest unused first.

        After these, the next ones are removed until the others take no more than `max_bytes`.
        """
        entries = self.entries()
        used = {entry.key: entry.file(MANIFEST).stat().st_mtime for entry in entries}
        now, left, removed = time.time(), sum(entry.payload_bytes for entry in entries), []
        for entry in sorted(entries, key=lambda entry: used[entry.key]):
            if now - used[entry.key] > older_than_s or left > max_bytes:
                shutil.rmtree(entry.folder, ignore_errors=True)
                left -= entry.payload_bytes
                removed.append(entry)
        return removed

    def clear(self) -> int:
        """Remove every Artifact and TorchInductor's cache; return the bytes freed."""
        folders = (self.folder, self.inductor)
        freed = sum(map(payload_bytes, folders))  # with what killed builds left behind
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return freed
