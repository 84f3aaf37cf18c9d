"""Continuing an interrupted Run: what its journal says of it, and when it must be refused."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import StoreError
from harness.packages import package_version
from harness.runner.identity import cell_digests
from harness.runner.plan import Plan
from harness.store.info import Repository, RunInfo
from harness.store.journal import Event
from harness.store.schema import SCHEMA_VERSION

KINDS = {
    "status": "the state (skipped or not)",
    "code_digest": "the model's code",
    "weights_digest": "the weights",
    "data_digest": "the dataset",
    "technique_digest": "the code or settings of the steps",
    "libraries_digest": "the libraries",
    "settings_digest": "the settings or the runtime's code",
    "environment_digest": "environment variables that change speed",
    "machine_digest": "the machine",
}
"""What the columns of a Record that identify it (store/identity.py) stand for, in words."""


def began(folder: Path, events: list[Event]) -> RunInfo | None:
    """Return what a journal's first line says of its Run; None for other journals. Raises StoreError."""
    if not events or events[0]["event"] != "run":
        return None
    try:
        info = RunInfo.model_validate(events[0]["info"])
    except (KeyError, ValidationError) as error:
        raise StoreError(f"{folder} cannot be read: its first line does not describe a Run") from error
    if info.schema_version != SCHEMA_VERSION:
        raise StoreError(
            f"{folder} cannot be resumed or shown: another version of the harness began it (schema version "
            f"{info.schema_version}, now {SCHEMA_VERSION}); delete it or start a new Run without --resume"
        )
    return info


def refuse_other_cells(plan: Plan, folder: Path, events: list[Event]) -> None:
    """Raise StoreError for other Cells, which another version of the harness may make of the same suite."""
    if {event["cell_id"] for event in events if "cell_id" in event} - plan.cells.keys():
        raise StoreError(
            f"{folder} cannot be resumed: the suite now has other Cells; start a new Run without --resume"
        )


def refuse_other_commits(info: RunInfo, folder: Path, now: list[Repository], harness: str) -> None:
    """Raise StoreError where another commit is checked out, or the harness's code has changed.

    `harness` is the digest of the code that runs now. Where git knew nothing, or knows nothing now, the
    digests decide alone.
    """
    changed = []
    for part in ("suite", "model", "harness"):
        old, new = (
            " and ".join(sorted(found.hash[:10] for found in repositories if part in found.holds))
            for repositories in (info.repositories or [], now)
        )
        if old and new and old != new:
            changed.append(f"the commit of the {part} {old} → {new}")
    if info.harness_digest != harness and not any("of the harness" in text for text in changed):
        changed.append("the harness's code")
    _refuse(folder, changed)


def refuse_other_identity(plan: Plan, folder: Path, events: list[Event]) -> None:
    """Raise StoreError where a Cell's code, data, settings, environment or machine has changed.

    A Cell must also be skipped, or not, as it was then.
    """
    for event in events:
        if event["event"] == "cell":
            planned, then = plan.cells[event["cell_id"]], event["row"]
            now = {"status": "skipped" if planned.skip else "pending", **cell_digests(planned, plan)}
            odd = [KINDS[name] for name in now if then.get(name, now[name]) != now[name]]
            _refuse(folder, [f"{kind} of {planned.cell.name}" for kind in odd])


def refuse_other_libraries(info: RunInfo, folder: Path, versions: dict[str, str]) -> None:
    """Raise StoreError where a library has changed, and name its versions."""
    now = {**versions, "accel-harness": package_version("accel-harness")}
    then = {**info.versions, "accel-harness": info.harness_version}
    changed = [
        f"{name} {then[name]} → {now[name]}"
        for name in sorted(then.keys() & now.keys())
        if then[name] != now[name]
    ]
    _refuse(folder, changed)


def _refuse(folder: Path, changed: list[str]) -> None:
    if changed:
        raise StoreError(
            f"{folder} cannot be resumed, because this has changed: {', '.join(changed)}; "
            "undo the change, or start a new Run without --resume"
        )
