"""An Artifact: what building a Cell yields. A folder of files with a manifest; no pickle in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BuildError

MANIFEST = "artifact.json"
TRAFFIC = ("weight_bytes", "activation_bytes_per_sample", "float32_flops_share")
"""Facts that a conversion keeps where the new form cannot be counted and neither weights nor types change."""


@dataclass(frozen=True)
class Artifact:
    """A built model in one form (``torch-module``, ``onnx``, ``aoti``), or a dataset (``data``).

    `steps` are the build steps from the model as given to here, each with its name, seconds, peak memory and
    what it reports of itself. `facts` are counted from the graph: parameters, nonzero_parameters,
    flops_per_sample, weight_bytes, activation_bytes_per_sample, float32_flops_share.
    """

    key: str
    format: str
    folder: Path
    payload_bytes: int = 0
    steps: tuple[dict[str, Any], ...] = ()
    statistics: dict[str, float] = field(default_factory=dict)

    @property
    def build_s(self) -> float:
        """Seconds of all build steps, without the start of the build worker."""
        return float(sum(step["build_s"] for step in self.steps))

    @property
    def build_peak_rss_bytes(self) -> int:
        """Highest resident memory of any build step."""
        return max((int(step["build_peak_rss_bytes"]) for step in self.steps), default=0)

    @property
    def lowered(self) -> bool:
        """Whether a step reports low precision: the step that compiles has the last word on it."""
        return any("low_precision_weight_share" in (step.get("details") or {}) for step in self.steps)

    def file(self, name: str) -> Path:
        """Path of one of the Artifact's files."""
        return self.folder / name

    def write_manifest(self) -> None:
        """Write the manifest into the folder."""
        content = {name: value for name, value in asdict(self).items() if name != "folder"}
        (self.folder / MANIFEST).write_text(json.dumps(content, indent=1, default=str))


def read_artifact(folder: Path) -> Artifact:
    """Read an Artifact back from its folder. Raises BuildError when its manifest is missing or damaged."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
        content["steps"] = tuple(content["steps"])
        return Artifact(folder=folder, **content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BuildError(
            f"{folder} holds no readable Artifact ({error}); clear it: harness cache clear"
        ) from error


def payload_bytes(folder: Path) -> int:
    """Bytes of all files of an Artifact's folder but its manifest."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
