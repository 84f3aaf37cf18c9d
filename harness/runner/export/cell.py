"""Exporting a Cell of a Run: its Artifact from the cache, if that is the one that was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.records.columns import parsed
from harness.analysis.words.model_card import card, title
from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.errors import BuildError, HarnessError
from harness.formats.registry import FORMATS
from harness.formats.target import Target
from harness.runner.export.model import Exported, export_model
from harness.runtimes.registry import RUNTIMES
from harness.store.info import RunInfo
from harness.store.reading import Run


def export_cell(
    run: Run, board: Board, row: Comparison, folder: Path, cache: Cache, search_path: tuple[str, ...] = ()
) -> Exported:
    """Export a Cell's Artifact into `folder` (export.py); of replicas, the model of one.

    `board` is the Cell's Group, `search_path` the folders of the model's own code. Raises HarnessError where
    the Cell has no Artifact, or the cache no longer holds the one that was measured.
    """
    if not row.artifact_key or not row.source_key or not row.data_key:
        why = "it was not built" if row.status != "measured" else "an older harness made this Run"
        raise HarnessError(f"{title(row)} has no Artifact that can be exported: {why}; run the suite again")
    artifact, source, data = (
        _cached(cache, key, run.info) for key in (row.artifact_key, row.source_key, row.data_key)
    )
    format = FORMATS.get(artifact.format)
    if format.holds_code and row.artifact_digest and artifact.content_digest != row.artifact_digest:
        raise BuildError(
            f"the Artifact of {title(row)} was built again since this Run, and its content differs from what "
            f"was measured; measure it first ({_again(run.info)}), and export from the new Run"
        )
    name, config = _runtime(row)
    replicas = row.replicas or 1
    return export_model(
        artifact,
        Target(row.batch or 1, row.device or "cpu", max((row.threads or 1) // replicas, 1)),
        (name, config),
        folder,
        source=source,
        data=data.folder,
        title=title(row),
        about=[
            *card(row, board, run.info, run.folder.name, RUNTIMES.get(name).packages),
            f"Format: {format.name}, {format.summary}.",
        ],
        search_path=search_path,
        environment=run.info.settings.get("environment"),
        contents={"run": run.folder.name, "cell_id": row.cell_id, "artifact_digest": row.artifact_digest},
    )


def _cached(cache: Cache, key: str, info: RunInfo) -> Artifact:
    found = cache.get(key)
    if found is None:
        raise BuildError(
            f"the cache {cache.root} does not hold what this Run measured (cache key {key[:12]}): start this "
            f"command in the folder of the Run or set HARNESS_CACHE, or measure again: {_again(info)}"
        )
    return found


def _again(info: RunInfo) -> str:
    return info.command or f"harness run {info.suite_file}"


def _runtime(row: Comparison) -> tuple[str, dict[str, Any]]:
    """Return the Cell's runtime and its settings, from its pipeline."""
    for step in parsed(row.pipeline, list):
        if isinstance(step, dict) and "runtime" in step:
            return step["runtime"], {name: value for name, value in step.items() if name != "runtime"}
    raise HarnessError(f"the Run does not say which runtime {title(row)} has")
