"""The journal: what was measured survives a kill, a torn line and a full disk, and stands there once."""

import errno
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError
from harness.store.arrays import pack
from harness.store.journal import (
    BALLAST,
    BALLAST_BYTES,
    FILE,
    Journal,
    read_array,
    read_journal,
    write_log,
)


def texts(folder: Path) -> list[str]:
    return [event["text"] for event in read_journal(folder) if event["event"] == "notice"]


def test_events_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "run.partial")
    first = journal.append("notice", text='"quoted"\nlines ☃', number=1.5)
    journal.append("notice", text="b", nothing=None)
    journal.sync()
    journal.close()
    events = read_journal(tmp_path / "a" / "run.partial")
    assert events[0] == first
    assert events[0]["at"] > 1.7e9
    assert [event["text"] for event in events] == ['"quoted"\nlines ☃', "b"]


def test_timed_calls_stay_in_the_file_and_a_summary_in_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    scores, positions = pack(np.array([1.0, 0.5], np.float32)), pack(np.array([3, 8]))
    kept = [
        journal.append("block", trial=1, calls_ns=pack(np.array([4_000, 1_000, 2_000, 9_000]))),
        journal.append("notice", text="☃ between"),
        journal.append("evaluation", scores=scores, positions=positions),
    ]
    journal.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"event": "block", "calls_ns": {"torn')
    again = Journal(tmp_path, read_journal(tmp_path))
    kept.append(again.append("block", trial=2, calls_ns=pack(np.array([7_000]))))
    again.close()
    for events in (kept, again.events, read_journal(tmp_path)):
        assert not any(name in event for event in events for name in ("calls_ns", "scores", "positions"))
        summary = {"calls": 4, "median_s": 3e-6, "mean_s": 4e-6, "min_s": 1e-6, "max_s": 9e-6}
        assert {name: events[0][name] for name in summary} == pytest.approx(summary)
        assert read_array(tmp_path, events[0], "calls_ns").tolist() == [4_000, 1_000, 2_000, 9_000]
        assert read_array(tmp_path, events[2], "scores").tolist() == [1.0, 0.5]
        assert read_array(tmp_path, events[2], "positions").tolist() == [3, 8]
        assert read_array(tmp_path, events[3], "calls_ns").tolist() == [7_000]
    write_log(tmp_path, kept)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0].keys() == {"event", "at", "trial", "calls", "median_s", "mean_s", "min_s", "max_s"}
    (tmp_path / FILE).write_bytes(b"x" * 10)
    with pytest.raises(StoreError, match=r"cannot read .*journal\.jsonl at byte 0"):
        read_array(tmp_path, kept[0], "calls_ns")


def test_an_event_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("notice", text="a")
    assert texts(tmp_path) == ["a"]
    journal.close()


def test_the_reserve_is_there_while_it_is_written_and_gone_afterwards(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert (tmp_path / BALLAST).stat().st_size == BALLAST_BYTES
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_torn_last_line_is_passed_over_and_the_next_event_begins_on_a_fresh_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("notice", text="a")
    journal.close()
    with (tmp_path / FILE).open("a") as file:
        file.write('{"event": "notice", "text": "to')
    assert texts(tmp_path) == ["a"]
    journal = Journal(tmp_path)
    journal.append("notice", text="b")
    journal.close()
    assert texts(tmp_path) == ["a", "b"]


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    lines = [
        b'{"event": "notice", "text": "a"}',
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"3",
        b"null",
        b'{"text": "no event"}',
    ]
    (tmp_path / FILE).write_bytes(b"\n".join([*lines, b"", b'{"event": "notice", "text": "b"}']))
    assert texts(tmp_path) == ["a", "b"]


def test_no_journal_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*journal\.jsonl: No such file"):
        read_journal(tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Journal(tmp_path / "file" / "run.partial")


def test_only_one_process_writes_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("notice", text="a")
    with pytest.raises(StoreError, match="is being written: that Run is still in progress"):
        Journal(tmp_path)
    journal.append("notice", text="b")
    journal.close()
    Journal(tmp_path).close()
    assert texts(tmp_path) == ["a", "b"]


def test_a_full_disk_is_told_and_the_event_is_saved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append("notice", text="a")
    write = journal._write

    def full(line: bytes) -> None:
        if (tmp_path / BALLAST).exists():
            write(line[:10])  # as much as there was room for
            raise OSError(errno.ENOSPC, "No space left on device")
        write(line)

    monkeypatch.setattr(journal, "_write", full)
    with pytest.raises(StoreError, match=r"No space left on device\. What was measured is kept; .*--resume"):
        journal.append("notice", text="b")
    journal.close()
    assert texts(tmp_path) == ["a", "b"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 5 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    journal = Journal(tiny_disk / "run.partial")
    written = 0
    with pytest.raises(StoreError, match="No space left on device"):
        while True:
            journal.append("notice", text=f"{written:06d}" * 3_000)
            written += 1
    journal.append("wall", seconds=1.0)  # there is room for the last words
    journal.close()
    found = texts(tiny_disk / "run.partial")
    assert [text[:6] for text in found] == [f"{i:06d}" for i in range(written + 1)]
    assert read_journal(tiny_disk / "run.partial")[-1]["event"] == "wall"


def test_a_disk_that_is_full_from_the_start_leaves_nothing_behind(tiny_disk: Path) -> None:
    (tiny_disk / "data").write_bytes(b"x" * 3_000_000)
    with pytest.raises(StoreError, match=r"cannot write .*No space left on device"):
        Journal(tiny_disk / "run.partial")
    assert [path.name for path in tiny_disk.iterdir()] == ["data"]


def test_a_journal_that_cannot_be_taken_up_for_want_of_room_is_left_as_it_was(tiny_disk: Path) -> None:
    journal = Journal(tiny_disk)
    journal.append("notice", text="a")
    journal.close()
    before = (tiny_disk / FILE).read_bytes()
    (tiny_disk / "data").write_bytes(b"x" * 3_000_000)
    with pytest.raises(StoreError):
        Journal(tiny_disk)
    assert (tiny_disk / FILE).read_bytes() == before
    assert not (tiny_disk / BALLAST).exists()


def test_the_log_is_the_journal_without_what_stands_in_the_tables(tmp_path: Path) -> None:
    events = [
        {"event": "block", "calls_ns": "long", "evidence": {}, "trial": 1},
        {"event": "quality", "scores": "long"},
    ]
    write_log(tmp_path, events)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"event": "block", "trial": 1}, {"event": "quality"}]
