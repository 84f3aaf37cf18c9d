"""Other Runs on this machine: one that lives is seen, what a killed one left is cleared away."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.runner.progress import Observer
from harness.runner.run import concurrent_runs
from harness.runner.run.concurrent_runs import Others, announced, disturbed, others
from harness.runner.run.finish import notices
from harness.store.journal import Event

CODE = (
    "import sys\nfrom harness.runner.run.concurrent_runs import announced\n"
    "with announced():\n    print('on', flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Run of anybody else is seen."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "accel-harness-runs"


@pytest.fixture
def other_run() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    yield process
    process.kill()
    process.communicate()


def test_alone_nobody_is_seen() -> None:
    assert others() == []
    with announced():
        assert others() == []


def test_another_run_is_seen_while_it_lives_and_not_after_it_ended(
    other_run: subprocess.Popen[str], own_folder: Path
) -> None:
    with announced():
        assert others() == [other_run.pid]
        assert others() == [other_run.pid]  # looking does no harm
    other_run.communicate("")
    assert others() == []
    assert list(own_folder.iterdir()) == []


def test_another_run_is_told_once_and_again_only_if_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    active: list[int] = []
    told: list[str] = []
    recorded: list[Event] = []
    monkeypatch.setattr(concurrent_runs, "others", lambda: list(active))
    observer = SimpleNamespace(notice=told.append)
    found = Others(
        lambda event, **more: recorded.append({"event": event, **more}), cast("Observer", observer)
    )
    for active[:] in ([], [7], [7], [7], [9, 7], [7, 9], [9], [], [7]):
        found.report()
    pids = [text.partition("(process ")[2].partition(")")[0] for text in told]
    assert pids == ["7", "7, 9", "7"]
    assert [(event["event"], event["text"]) for event in recorded] == [("notice", text) for text in told]
    assert notices([*recorded, {"event": "notice", "text": "x"}]) == [disturbed([7, 9]), "x"]


def test_what_a_killed_run_left_is_cleared_away(other_run: subprocess.Popen[str], own_folder: Path) -> None:
    other_run.kill()
    other_run.communicate()
    assert [path.stem for path in own_folder.iterdir()] == [str(other_run.pid)]
    assert others() == []
    assert list(own_folder.iterdir()) == []


def test_the_file_goes_when_the_run_ends_in_an_error(own_folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), announced():
        assert [path.stem for path in own_folder.iterdir()] == [str(os.getpid())]
        raise KeyboardInterrupt
    assert list(own_folder.iterdir()) == []


def test_everybody_on_the_machine_may_announce_a_run(own_folder: Path) -> None:
    with announced():
        assert own_folder.stat().st_mode & 0o7777 == 0o1777


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(own_folder: Path) -> None:
    own_folder.write_text("a file where a folder is due")
    with announced():
        assert others() == []


def test_strange_names_in_the_folder_are_taken_calmly(own_folder: Path) -> None:
    own_folder.mkdir()
    (own_folder / "no number.lock").write_text("")
    (own_folder / "1.lock").mkdir()
    assert others() == []
