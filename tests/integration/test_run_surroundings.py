"""Runs that are not alone on the machine, or whose disk fills up."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import ORT, Bench

from harness.store.journal import read_journal

pytestmark = pytest.mark.slow


def test_two_runs_at_once_both_finish_and_are_told(bench: Bench, onnx_file: Path) -> None:
    suite = bench.suite({"net": {"onnx": onnx_file.name}}, ORT)
    first = bench.start("run", str(suite))
    bench.wait_for("session")
    with bench.held_up(first):  # so that it does not end before the other one begins
        second = bench.start("run", str(suite))
        bench.wait_for("notice")
    for process in (first, second):
        code, out, err = bench.end(process)
        assert code == 0, out + err
    runs = bench.runs()
    assert len(runs) == 2
    assert all({"load", "steal"} <= {finding["name"] for finding in run.info.doctor} for run in runs)
    assert all(group.call == "time of one call" for run in runs for group in run.info.groups)
    assert all((run.cells["status"] == "measured").all() for run in runs)
    assert "disturb" in err
    told = [notice for run in runs for notice in run.info.notices if "another Run" in notice]
    assert any(str(first.pid) in notice for notice in told)
    assert bench.partials() == []
    bench.assert_all_gone()


@pytest.fixture
def tiny_disk(bench: Bench) -> Iterator[Path]:
    """A disk of 64 MB under `results`."""
    folder = bench.results
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65_536)


def test_a_disk_that_fills_up(bench: Bench, onnx_file: Path, tiny_disk: Path) -> None:
    suite = bench.suite({"net": {"onnx": onnx_file.name}}, ORT, measure={"max_time": "4s"})
    filler = tiny_disk / "other people's data"
    filler.write_bytes(b"x" * 65_000_000)
    out = bench.harness("run", str(suite), code=2)  # not even the reserve has room
    assert out.count("error:") == 1
    assert "No space left on device" in out
    assert bench.partials() == []

    filler.unlink()
    process = bench.start("run", str(suite))
    bench.wait_for("block", 2)
    with bench.held_up(process):
        blocks = len(bench.wait_for("block"))
        fill_up(filler)
    code, out, err = bench.end(process)
    assert code not in (0, 130), out + err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "--resume" in errors[0]
    bench.assert_all_gone()
    (partial,) = bench.partials()
    kept = [event for event in read_journal(partial) if event["event"] == "block"]
    assert len(kept) >= blocks

    filler.unlink()
    bench.harness("run", str(suite), "--resume")
    run = bench.run()
    assert (run.cells["status"] == "measured").all()
    assert len(run.blocks) > len(kept)
    assert not run.blocks.duplicated(["cell_id", "arm", "trial", "round"]).any()
