"""From journal to Run: the tables hold every call, and memory does not grow with the calls timed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from runs import GROUPS, make_run

from harness.analysis.records import arms as module
from harness.runner.experiment.measurements import Measurements
from harness.runner.run.finish import finish_run
from harness.runner.run.peaks import doubted_budgets
from harness.store.arrays import pack
from harness.store.info import RunInfo
from harness.store.journal import Event, Journal, read_journal
from harness.store.reading import Calls, Run, load

INFO = RunInfo(run_id="r", suite="s", started_at="2026-01-01T00:00:00+00:00")
Made = dict[tuple[str, str], list[NDArray[np.int64]]]


def journaled(folder: Path, arms: int, calls: int, blocks: int = 4) -> tuple[list[Event], Made]:
    """Journal a Run of two Trials, Blocks of all arms in turn; return its events and the calls by Trial."""
    journal, rng = Journal(folder), np.random.default_rng(0)
    measurements, made = Measurements("r/g"), {}
    journal.append("run", info=INFO.model_dump(mode="json"))
    journal.append("session", start_ns=0)
    journal.append("peaks", threads=2, rates=[], memory_bandwidth_bytes_per_s=1.0)
    names = [(f"c{number}", "subject" if number else "baseline") for number in range(arms)]
    for cell_id, arm in names:
        texts = dict.fromkeys(("group_id", "model", "technique", "workload", "hardware"), "g")
        row = {"cell_id": cell_id, **texts, "arm": arm, "status": "pending"}
        journal.append("cell", cell_id=cell_id, row=row)
    for trial in range(2):
        for round_ in range(blocks):
            for name in names:
                calls_ns = rng.integers(1000, 2000, calls)
                event = journal.append(
                    "block", sitting="r/g", cell_id=name[0], arm=name[1], trial=trial, round=round_, order=0,
                    start_ns=0, duration_ns=int(calls_ns.sum()), samples=calls, calls_ns=pack(calls_ns),
                    evidence={"wall_s": 1.0}, tags=[],
                )  # fmt: skip
                measurements.note(event)
                if calls < 100:
                    made.setdefault((*name, trial), []).append(calls_ns)
    journal.close()
    assert all(measurements.arm(name).blocks == 2 * blocks for name in names)
    joined: Made = {}
    for (cell_id, arm, _), parts in made.items():
        joined.setdefault((cell_id, arm), []).append(np.concatenate(parts))
    return journal.events, joined


@pytest.mark.parametrize("chunk", [1, 50, 2**18])
def test_a_finished_run_holds_every_call_of_every_arm_by_trial(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    events, made = journaled(tmp_path / "r.partial", arms=3, calls=20)
    run = load(finish_run(tmp_path / "r.partial", INFO, events).folder)
    found = Calls(run)
    assert set(found) == set(made) and len(found) == 3
    for key, trials in made.items():
        np.testing.assert_array_equal(found[key], trials)
    assert set(run.calls["sitting"]) == set(run.blocks["sitting"]) == {"r/g"}
    record = next(each for each in run.records if each.cell_id == "c1")
    pooled = np.concatenate(made["c1", "subject"]) / 1e9
    assert (record.calls, record.trials, record.blocks) == (160, 2, 8)
    assert record.latency_mean_s == pytest.approx(pooled.mean())
    assert record.latency_p90_s == pytest.approx(np.quantile(pooled, 0.9))
    assert record.latency_std_s == pytest.approx(pooled.std(ddof=1))


def test_an_unfinished_run_is_finished_from_its_file_alone(tmp_path: Path) -> None:
    events, made = journaled(tmp_path / "r.partial", arms=2, calls=20)
    known = read_journal(tmp_path / "r.partial")
    assert [{**event, "place": tuple(event.get("place", ()))} for event in known] == [
        {"place": (), **event} for event in events
    ]
    (tmp_path / "r.partial" / ".calls.parquet.123.tmp").write_bytes(b"half of it")  # a process was killed
    run = load(finish_run(tmp_path / "r.partial", INFO, known).folder)
    assert not list(run.folder.glob(".*"))
    found = Calls(run)
    np.testing.assert_array_equal(found["c1", "subject"], made["c1", "subject"])


def test_memory_does_not_grow_with_the_calls_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the calls of one arm: 12 arms more, of 40,000 calls each, take less than 1 byte a call."""
    monkeypatch.setattr(module, "CHUNK", 10_000)
    peaks = []
    journaled(tmp_path / "first.partial", arms=1, calls=10)  # what is imported and cached at the first time
    for arms in (4, 16):
        tracemalloc.start()
        events, _ = journaled(tmp_path / f"{arms}.partial", arms=arms, calls=5_000)
        doubted_budgets(events, INFO)
        finish_run(tmp_path / f"{arms}.partial", INFO, events)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 12 * 40_000


def test_an_older_runs_blocks_and_calls_get_the_sitting_of_their_group(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run")
    for name in ("blocks", "calls"):
        path = tmp_path / "run" / f"{name}.parquet"
        pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["sitting"]), path)
    older = Run(made.folder, made.info)
    groups = {record.group_id for record in made.records}
    assert len(groups) == len(GROUPS)
    assert set(older.blocks["sitting"]) == {f"{made.info.run_id}/{group}" for group in groups}
    assert older.blocks["sitting"].tolist() == made.blocks["sitting"].tolist()
    for key, trials in Calls(made).items():
        for one, other in zip(trials, Calls(older)[key], strict=True):
            np.testing.assert_array_equal(one, other)
