"""What a resumed Run takes up, and with what it may not go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import StoreError
from harness.packages import package_version
from harness.runner.run.resume import began, progress_of, refuse_other_cells, refuse_other_libraries
from harness.store.info import RunInfo


def plan(*cells: str) -> Any:
    planned = {name: SimpleNamespace(cell=SimpleNamespace(cell_id=name, group_id="g")) for name in cells}
    return SimpleNamespace(groups=[SimpleNamespace(group_id="g")], cells=planned)


def test_what_was_done_is_known_and_what_failed_is_tried_again() -> None:
    events = [
        {"event": "trial-start", "group_id": "g", "trial": 0},
        {"event": "block", "cell_id": "a", "arm": "subject"},
        {"event": "trial-failed", "cell_id": "b", "arm": "subject", "blocks": 0},
        {"event": "quality", "cell_id": "a", "arm": "subject"},
        {"event": "trial-done", "group_id": "g"},
        {"event": "trial-start", "group_id": "g", "trial": 1},
    ]
    found = progress_of(plan("a", "b"), events)["g"]
    assert (found.finished, found.next_trial) == (1, 2)
    assert found.timed == found.evaluated == {"a"}
    assert found.failed == set()


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
    with pytest.raises(StoreError, match=r"run cannot be resumed: onnxruntime 1\.2 → 1\.3; start anew"):
        refuse_other_libraries(info(onnxruntime="1.2"), Path("run"), {"onnxruntime": "1.3"})


def test_a_run_of_other_cells_is_not_gone_on_with() -> None:
    known = [{"event": "run"}, {"event": "trial-start", "group_id": "g"}, {"event": "block", "cell_id": "a"}]
    refuse_other_cells(plan("a"), Path("run"), known)
    for other in ({"event": "artifact", "cell_id": "b"}, {"event": "trial-start", "group_id": "h"}):
        with pytest.raises(
            StoreError, match="run cannot be resumed: it has other Cells than the suite has now"
        ):
            refuse_other_cells(plan("a"), Path("run"), [*known, other])


def test_a_journal_whose_first_line_is_damaged_is_named() -> None:
    assert began(Path("run"), []) is None
    assert began(Path("run"), [{"event": "noise"}]) is None
    assert began(Path("run"), [{"event": "run", "info": info().model_dump(mode="json")}]) == info()
    for damaged in ({"event": "run"}, {"event": "run", "info": {"run_id": 5}}):
        with pytest.raises(StoreError, match="run cannot be read: its first line says nothing of the Run"):
            began(Path("run"), [damaged])
