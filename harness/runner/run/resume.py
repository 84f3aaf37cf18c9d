"""Going on with an interrupted Run: what its journal says was done, and whether it may go on at all."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import StoreError
from harness.packages import package_version
from harness.runner.experiment.group_progress import GroupProgress
from harness.runner.plan import Plan
from harness.store.info import RunInfo
from harness.store.journal import Event
from harness.store.schema import SCHEMA_VERSION


def began(folder: Path, events: list[Event]) -> RunInfo | None:
    """What a journal's first line says of its Run; None where it says nothing. Raises StoreError."""
    if not events or events[0]["event"] != "run":
        return None
    try:
        info = RunInfo.model_validate(events[0]["info"])
    except (KeyError, ValidationError) as error:
        raise StoreError(f"{folder} cannot be read: its first line says nothing of the Run") from error
    if info.schema_version < SCHEMA_VERSION:
        raise StoreError(
            f"{folder} cannot be resumed or shown: an older version of the harness began it (schema version "
            f"{info.schema_version}, now {SCHEMA_VERSION}); delete it or start anew without --resume"
        )
    return info


def refuse_other_cells(plan: Plan, folder: Path, events: list[Event]) -> None:
    """Another version of the harness may make other Cells of the same suite."""
    groups = {group.group_id for group in plan.groups}
    for event in events:
        if event.get("cell_id") not in (None, *plan.cells) or event.get("group_id") not in (None, *groups):
            raise StoreError(
                f"{folder} cannot be resumed: it has other Cells than the suite has now; "
                "start anew without --resume"
            )


def refuse_other_artifacts(plan: Plan, folder: Path, events: list[Event]) -> None:
    """A Run is of one model and one set of libraries: it cannot go on with others."""
    keys = {cell_id: planned.artifact_key for cell_id, planned in plan.cells.items()}
    for event in events:
        if event["event"] == "artifact" and event["key"] != keys[event["cell_id"]]:
            name = plan.cells[event["cell_id"]].cell.name
            raise StoreError(
                f"{folder} cannot be resumed: the model's files, its code or a library changed since "
                f"({name}); start anew without --resume"
            )


def refuse_other_libraries(info: RunInfo, folder: Path, versions: dict[str, str]) -> None:
    """The runtimes' versions are in no Artifact's address, but they are in every figure."""
    now = {**versions, "accel-harness": package_version("accel-harness")}
    then = {**info.versions, "accel-harness": info.harness_version}
    changed = [
        f"{name} {then[name]} → {now[name]}"
        for name in sorted(then.keys() & now.keys())
        if then[name] != now[name]
    ]
    if changed:
        raise StoreError(f"{folder} cannot be resumed: {', '.join(changed)}; start anew without --resume")


def next_order(events: list[Event]) -> int:
    """Number of the next Block in the Run's sequence."""
    return max((event["order"] for event in events if event["event"] == "block"), default=-1) + 1


def progress_of(plan: Plan, events: list[Event]) -> dict[str, GroupProgress]:
    """What the journal says was done before; empty progress for a new Run.

    Cells that failed are tried again: a full disk or want of memory may have passed.
    """
    progress = {group.group_id: GroupProgress() for group in plan.groups}
    group_of = {p.cell.cell_id: p.cell.group_id for p in plan.cells.values()}
    for event in events:
        match event["event"]:
            case "trial-start":
                one = progress[event["group_id"]]
                one.next_trial = max(one.next_trial, event["trial"] + 1)
            case "trial-done":
                progress[event["group_id"]].finished += 1
            case "quality":
                progress[group_of[event["cell_id"]]].evaluated.add(event["cell_id"])
            case "block" if event["arm"] != "control":
                progress[group_of[event["cell_id"]]].timed.add(event["cell_id"])
    return progress
