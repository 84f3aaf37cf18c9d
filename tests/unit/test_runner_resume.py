"""When a Run can be resumed, and when not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from suite_texts import NoObserver, content, read
from test_runner_plan import PLACE

from harness.artifacts.cache import Cache
from harness.errors import StoreError
from harness.packages import package_version
from harness.runner.experiment.measurements import Measurements
from harness.runner.identity import cell_digests
from harness.runner.plan import make_plan
from harness.runner.run.experiment import next_order
from harness.runner.run.provenance import describe_cell
from harness.runner.run.resume import (
    began,
    refuse_other_cells,
    refuse_other_identity,
    refuse_other_libraries,
)
from harness.runner.run.run import LocalRun
from harness.store.arrays import pack
from harness.store.info import RunInfo


def plan(*cells: str) -> Any:
    planned = {name: SimpleNamespace(cell=SimpleNamespace(cell_id=name, group_id="g")) for name in cells}
    return SimpleNamespace(groups=[SimpleNamespace(group_id="g")], cells=planned)


def test_what_was_done_is_known_and_what_failed_is_tried_again() -> None:
    about = {"arm": "subject", "trial": 0, "sitting": "r/g"}
    block = {"start_ns": 0, "duration_ns": 10, "samples": 1, "calls_ns": pack(np.array([10])), "evidence": {}}
    events = [
        {"event": "trial-start", "trial": 0, "sitting": "r/g"},
        {"event": "block", "cell_id": "a", "round": 0, "order": 7, "tags": [], **block, **about},
        {"event": "trial-failed", "cell_id": "b", "blocks": 0, **about},
        {"event": "evaluation", "cell_id": "a", **about},
        {"event": "trial-done", "trial": 0, "finished": 1, "arms": [["a", "subject"]], "sitting": "r/g"},
        {"event": "trial-start", "trial": 1, "sitting": "r/g"},
        {"event": "trial-start", "trial": 5, "sitting": "r/other"},
    ]
    found = Measurements("r/g", events)
    assert (found.finished, found.next_trial, next_order(events)) == (1, 2, 8)
    assert found.timed == found.evaluated == {"a"}
    assert found.failed == set()
    assert found.arm(("a", "subject")).finished == 1
    assert found.arm(("b", "subject")).failures == 1


def info(**versions: str) -> RunInfo:
    return RunInfo(
        run_id="r",
        suite="s",
        started_at="2026-01-01T00:00:00+00:00",
        harness_version=package_version("accel-harness"),
        versions=versions,
    )


def test_a_run_goes_on_with_the_libraries_it_began_with_only() -> None:
    refuse_other_libraries(info(onnxruntime="1.2"), Path("run"), {"onnxruntime": "1.2", "torch": "2"})
    with pytest.raises(StoreError, match=r"run cannot be resumed: onnxruntime 1\.2 → 1\.3; start a new Run"):
        refuse_other_libraries(info(onnxruntime="1.2"), Path("run"), {"onnxruntime": "1.3"})


def test_a_run_of_other_cells_is_not_resumed() -> None:
    known = [{"event": "run"}, {"event": "trial-start", "trial": 0}, {"event": "block", "cell_id": "a"}]
    refuse_other_cells(plan("a"), Path("run"), known)
    for other in ({"event": "artifact", "cell_id": "b"}, {"event": "cell", "cell_id": "b"}):
        with pytest.raises(StoreError, match="run cannot be resumed: the suite now has other Cells"):
            refuse_other_cells(plan("a"), Path("run"), [*known, other])


def test_a_run_goes_on_with_the_same_code_settings_and_environment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    made = make_plan(read(tmp_path, content(models={"mlp": {"zoo": "mnist-mlp"}})), PLACE)
    (group, *_), (planned, *_) = made.groups, made.cells.values()
    row = {**describe_cell(planned, group), **cell_digests(planned, made)}
    events = [{"event": "run"}, {"event": "cell", "cell_id": planned.cell.cell_id, "row": row}]
    refuse_other_identity(made, tmp_path, events)
    for name, value in {"code_digest": "1", "machine_digest": "2", "status": "skipped"}.items():
        with pytest.raises(StoreError, match=f"resumed: {name.removesuffix('_digest')} of mlp / eager / "):
            refuse_other_identity(made, tmp_path, [{**events[1], "row": {**row, name: value}}])
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    with pytest.raises(
        StoreError, match=r"cannot be resumed: environment of .* has changed; start a new Run"
    ):
        refuse_other_identity(made, tmp_path, events)


def test_a_run_that_was_killed_while_it_recorded_its_cells_records_the_others(tmp_path: Path) -> None:
    made = make_plan(read(tmp_path, content(models={"mlp": {"zoo": "mnist-mlp"}})), PLACE)
    first, *others = made.cells
    machine: Any = SimpleNamespace(slug="here")
    run = LocalRun(made, machine, tmp_path, Cache(tmp_path), NoObserver(), "harness run")
    run.events = [{"event": "run"}, {"event": "cell", "cell_id": first, "row": {}}]
    told: list[tuple[str, str]] = []
    run._record_plan(info(), lambda event, cell_id, **_: told.append((event, cell_id)))
    assert told == [("cell", cell_id) for cell_id in others]


def test_a_journal_whose_first_line_is_damaged_is_named() -> None:
    assert began(Path("run"), []) is None
    assert began(Path("run"), [{"event": "noise"}]) is None
    assert began(Path("run"), [{"event": "run", "info": info().model_dump(mode="json")}]) == info()
    for damaged in ({"event": "run"}, {"event": "run", "info": {"run_id": 5}}):
        with pytest.raises(StoreError, match="run cannot be read: its first line does not describe a Run"):
            began(Path("run"), [damaged])
