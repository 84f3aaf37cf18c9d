"""An Artifact: the result of building a Cell. A folder of files with a manifest, without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BuildError

MANIFEST = "artifact.json"
ZSTD_LEVEL, ZSTD_FRAME_BYTES = 3, 16_000_000
"""How files are compressed to see how far they can be: at the zstd program's default level, in frames of this
size, so that large files need little memory. A frame is longer than the window of this level (2 MB)."""
TRAFFIC = ("weight_bytes", "activation_bytes_per_sample", "float32_flops_share")
"""Statistics that a conversion keeps: it changes no weights or types, and its format cannot be counted."""


@dataclass(frozen=True)
class Artifact:
    """A built model in one format (``torch-module``, ``onnx``, ``aoti``), or a dataset (``data``).

    `steps` are the build steps from the model as given to this Artifact, each with its name, seconds, peak
    memory and report. `statistics` are counted from the graph: parameters, nonzero_parameters,
    flops_per_sample, weight_bytes, activation_bytes_per_sample, float32_flops_share. `content_digest` is the
    SHA-256 of its files: Artifacts of different addresses can have the same content. `zstd_bytes` is the size
    of its files when compressed; None for a dataset, and for what an older version of the harness built.
    `warnings` are sentences about the model as given, which all Artifacts made from it have.
    """

    key: str
    format: str
    folder: Path
    payload_bytes: int = 0
    steps: tuple[dict[str, Any], ...] = ()
    statistics: dict[str, float] = field(default_factory=dict)
    content_digest: str = ""
    zstd_bytes: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def build_s(self) -> float:
        """Return the seconds of all build steps, without the start of the build worker."""
        return float(sum(step["build_s"] for step in self.steps))

    @property
    def build_peak_rss_bytes(self) -> int:
        """Return the highest resident memory of any build step, bytes."""
        return max((int(step["build_peak_rss_bytes"]) for step in self.steps), default=0)

    @property
    def last_step(self) -> str:
        """Return the name of the last build step; empty for the model as given."""
        return str(self.steps[-1]["step"]) if self.steps else ""

    @property
    def lowered(self) -> bool:
        """Return whether a step reports low precision; a step that compiles then reports what came of it."""
        return any("low_precision_weight_share" in (step.get("details") or {}) for step in self.steps)

    def file(self, name: str) -> Path:
        """Return the path of one of the Artifact's files."""
        return self.folder / name

    def write_manifest(self) -> None:
        """Write the manifest into the folder."""
        content = {name: value for name, value in asdict(self).items() if name != "folder"}
        (self.folder / MANIFEST).write_text(json.dumps(content, indent=1, default=str))


def read_artifact(folder: Path) -> Artifact:
    """Read an Artifact from its folder. Raises BuildError when its manifest is missing or damaged."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
        content["steps"] = tuple(content["steps"])
        content["warnings"] = tuple(content.get("warnings", ()))
        return Artifact(folder=folder, **content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BuildError(
            f"{folder} contains no readable Artifact ({error}); clear the cache: harness cache clear"
        ) from error


def payload_bytes(folder: Path) -> int:
    """Return the bytes of all files in an Artifact's folder except its manifest."""
    return sum(path.stat().st_size for path in _payload(folder))


def zstd_bytes(folder: Path) -> int:
    """Return the bytes of all files in an Artifact's folder except its manifest, each compressed by zstd."""
    import pyarrow as pa

    codec, total = pa.Codec("zstd", compression_level=ZSTD_LEVEL), 0
    for path in _payload(folder):
        with path.open("rb") as file:
            while part := file.read(ZSTD_FRAME_BYTES):
                total += codec.compress(part).size
    return total


def content_digest(folder: Path) -> str:
    """Hash the relative paths and the contents of all files in an Artifact's folder except its manifest."""
    files = {path.relative_to(folder).as_posix(): path for path in _payload(folder)}
    total = hashlib.sha256()
    for name in sorted(files):
        with files[name].open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _payload(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
