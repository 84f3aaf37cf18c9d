"""Interrupted Runs: what was measured is kept, no worker lives on, and --resume goes on from there."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from bench import EAGER, INPUT, ORT, Bench, needs_two_cores

from harness.store.journal import Event, read_journal

pytestmark = pytest.mark.slow

WORKLOADS = {"one": {"scenario": "single-stream"}, "bulk": {"scenario": "offline", "batch": 4}}
MEASURE = {"trials": 2, "max_time": "1s"}


def trials_done(events: list[Event]) -> list[tuple[str, int]]:
    """Trials (of which Group, which number) that are finished, in order."""
    done, number = [], {}
    for event in events:
        if event["event"] == "trial-start":
            number[event["sitting"]] = event["trial"]
        elif event["event"] == "trial-done":
            done.append((event["sitting"], number[event["sitting"]]))
    return done


def finish(bench: Bench, suite: Path, finished: list[tuple[str, int]], measured: int) -> None:
    """Resume; what was finished is not measured again, and nothing is missing."""
    (partial,) = bench.partials()
    before = [e for e in read_journal(partial) if e["event"] == "block"]
    bench.harness("run", str(suite), "--resume")
    bench.assert_all_gone()
    assert bench.partials() == []
    run = bench.run()
    assert run.info.status == "complete"
    cells = run.cells[run.cells["arm"] != "control"]
    assert (cells["status"] == "measured").all()
    assert len(cells) == measured
    assert cells["quality"].notna().all()
    assert len(run.blocks) > len(before)
    starts = [(e["sitting"], e["trial"]) for e in events_of(run.folder) if e["event"] == "trial-start"]
    assert len(starts) == len(set(starts))
    assert set(finished) <= set(starts)
    assert 0 < run.info.times.measured_share < 1
    assert run.info.times.timed_s == pytest.approx(run.blocks["duration_s"].sum())
    assert not run.blocks.duplicated(["cell_id", "arm", "trial", "round"]).any()


def wait_for_workers(bench: Bench, process: subprocess.Popen) -> None:
    """Wait until the Run has workers, as it has nearly all the time."""
    while not bench.workers():
        assert process.poll() is None


def events_of(folder: Path) -> list[Event]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_ctrl_c_in_mid_measurement_and_going_on(bench: Bench, onnx_file: Path) -> None:
    suite = bench.suite({"net": {"onnx": onnx_file.name}}, ORT, WORKLOADS, measure=MEASURE)
    process = bench.start("run", str(suite))
    bench.wait_for("trial-done")
    wait_for_workers(bench, process)
    os.kill(process.pid, signal.SIGINT)  # the manager only, as its workers lead sessions of their own
    code, out, err = bench.end(process)
    assert code == 130, out + err
    assert "Traceback" not in err
    assert "the measurements so far are in" in err
    bench.assert_all_gone()
    (partial,) = bench.partials()
    finished = trials_done(read_journal(partial))
    assert finished

    bench.harness("report", str(partial), "--out", "unfinished")
    page = (bench.folder / "unfinished" / "index.html").read_text()
    assert "interrupted" in page.lower()
    assert list((bench.folder / "tmp").glob("harness-report-*")) == []

    changed = bench.folder / "changed.yaml"
    changed.write_text(suite.read_text().replace("trials: 2", "trials: 3"))
    assert "the suite has changed since" in bench.harness("run", str(changed), "--resume", code=2)
    onnx_file.write_bytes(onnx_file.read_bytes() + b"\x2a\x00")
    assert "has changed: the weights of net / ort" in bench.harness("run", str(suite), "--resume", code=2)
    onnx_file.write_bytes(onnx_file.read_bytes()[:-2])
    assert bench.partials() == [partial]
    finish(bench, suite, finished, measured=2)
    assert "no unfinished Run" in bench.harness("run", str(suite), "--resume", code=2)


def test_a_manager_that_is_killed_takes_its_workers_along(bench: Bench, onnx_file: Path) -> None:
    needs_two_cores()
    techniques = {**ORT, "x2": [{"runtime": "onnxruntime"}, {"replicate": {"replicas": 2}}]}
    suite = bench.suite(
        {"net": {"onnx": onnx_file.name}}, techniques, {"bulk": WORKLOADS["bulk"]}, measure=MEASURE
    )
    process = bench.start("run", str(suite))
    bench.wait_for("block", 3)
    with bench.held_up(process):
        assert "is being written" in bench.harness("run", str(suite), "--resume", code=2)
    wait_for_workers(bench, process)
    process.kill()
    process.communicate()
    bench.assert_all_gone()
    (partial,) = bench.partials()
    with (partial / "journal.jsonl").open("ab") as file:
        file.write(b'{"event": "block", "torn')
    finish(bench, suite, trials_done(read_journal(partial)), measured=2)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_manager_that_is_terminated_while_a_model_is_built(bench: Bench, end: int) -> None:
    model = {"torch": "run_factories:net", "inputs": INPUT, "dataset": "run_factories:slow_data"}
    suite = bench.suite({"net": model}, EAGER)
    process = bench.start("run", str(suite))
    bench.wait_for("session")
    wait_for_workers(bench, process)
    process.send_signal(end)  # SIGHUP: the terminal was closed
    code, out, err = bench.end(process)
    assert code == 130, out + err
    assert "interrupted before anything was measured" in err
    bench.assert_all_gone()
    assert bench.partials() == []
