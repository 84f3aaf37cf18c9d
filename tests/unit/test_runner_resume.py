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
from harness.runner.run import provenance
from harness.runner.run.experiment import next_order
from harness.runner.run.provenance import describe_cell
from harness.runner.run.resume import (
    KINDS,
    began,
    refuse_other_cells,
    refuse_other_commits,
    refuse_other_identity,
    refuse_other_libraries,
)
from harness.runner.run.run import LocalRun
from harness.store.arrays import pack
from harness.store.info import Repository, RunInfo


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
    with pytest.raises(StoreError, match=r"run cannot be resumed, .*: onnxruntime 1\.2 → 1\.3; undo"):
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
    assert set(cell_digests(planned, made)) | {"status"} == set(KINDS)
    for name, words in KINDS.items():
        with pytest.raises(StoreError) as raised:
            refuse_other_identity(made, tmp_path, [{**events[1], "row": {**row, name: "other"}}])
        assert f"because this has changed: {words} of mlp / eager / " in str(raised.value)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    with pytest.raises(StoreError, match=r": environment variables that change speed of .*; undo the change"):
        refuse_other_identity(made, tmp_path, events)


def test_a_run_is_not_resumed_after_an_edit_of_what_the_model_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resumed_net.py").write_text("import resumed_part\n\n\ndef build(): ...\n")
    part = tmp_path / "resumed_part.py"
    part.write_text("width = 1\n")

    def planned() -> Any:
        model = {"torch": "resumed_net:build", "inputs": {"x": [4]}}
        return make_plan(read(tmp_path, content(models={"net": model})), PLACE)

    made = planned()
    first = next(cell for cell in made.cells.values() if not cell.skip)
    row = {"status": "pending", **cell_digests(first, made)}
    events = [{"event": "cell", "cell_id": first.cell.cell_id, "row": row}]
    part.write_text("width = 1  # a comment\n")
    refuse_other_identity(planned(), tmp_path, events)
    part.write_text("width = 2\n")
    with pytest.raises(StoreError, match="this has changed: the model's code of net / eager / "):
        refuse_other_identity(planned(), tmp_path, events)


def checked_out(**commits: str) -> list[Repository]:
    return [Repository(hash=name * 40, dirty=False, holds=[part]) for part, name in commits.items()]


def test_a_run_goes_on_at_the_same_commits_and_with_the_same_harness_only() -> None:
    began_at = checked_out(suite="a", model="b", harness="c")
    then = info().model_copy(update={"repositories": began_at, "harness_digest": "d"})
    refuse_other_commits(then, Path("run"), began_at, "d")
    refuse_other_commits(then, Path("run"), checked_out(suite="a"), "d")  # git does not know the others now
    dirty = [one.model_copy(update={"dirty": True}) for one in began_at]  # the digests know what it changed
    refuse_other_commits(then, Path("run"), dirty, "d")
    for part in ("suite", "model", "harness"):
        now = checked_out(**{"suite": "a", "model": "b", "harness": "c", part: "e"})
        changed = rf"the commit of the {part} \w+ → e{{10}}; undo the change, or start a new Run"
        with pytest.raises(StoreError, match=changed):
            refuse_other_commits(then, Path("run"), now, "d")
    with pytest.raises(StoreError, match=r"run cannot be resumed, .*: the harness's code; undo"):
        refuse_other_commits(then, Path("run"), began_at, "another")
    with pytest.raises(StoreError, match="the harness's code"):  # begun before the harness recorded it
        refuse_other_commits(info(), Path("run"), [], "d")


def test_an_edit_of_any_helper_of_the_harness_is_another_harness_and_a_docstring_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("measure/blocks.py", "report/page.py", "commands/run.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text('"""Old."""\nx = 1\n')
    monkeypatch.setattr(provenance, "HARNESS", tmp_path)

    def digest(**texts: str) -> str:
        for name, text in texts.items():
            (tmp_path / name.replace("_", "/")).with_suffix(".py").write_text(text)
        provenance.harness_files.cache_clear()
        return provenance.harness_digest()

    before = digest()
    assert digest(measure_blocks='"""New."""\nx = 1\n', report_page="x = 2\n", commands_run="") == before
    assert digest(measure_blocks="x = 2\n") != before
    assert digest(measure_blocks="x = 1\n", measure_new="") != before
    provenance.harness_files.cache_clear()


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
