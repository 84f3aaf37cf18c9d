"""Runs on disk: what is written comes back, older ones are read, damaged and newer ones are named."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import StoreError
from harness.store.info import Commit, GroupInfo, RunInfo, Times
from harness.store.reading import Calls, Run, find, load, read_info, read_table
from harness.store.record import Block, Record
from harness.store.schema import SCHEMA_VERSION, TABLES, arrow_schema, columns, documentation
from harness.store.writing import publish, remove_empty_files, write_atomic, write_run, write_table


def info(**fields: Any) -> RunInfo:
    return RunInfo(**{"run_id": "abc", "suite": "s", "started_at": "2026-01-02T03:04:05+00:00", **fields})


def cell(**fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(column.name for column in columns(Record)),
        "cell_id": "c",
        "arm": "subject",
        **fields,
    }


def make(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, info(**fields), {"cells": [cell()]})
    return folder


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fails(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreError, match=f"cannot write {path}: No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"something long")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    content = info(
        commit=Commit(hash="1" * 40, dirty=True, subject='a "subject"'),
        groups=[
            GroupInfo(
                group_id="g", model="m", workload="w", hardware="h", scenario="offline", batch=3,
                device="cpu", threads=2, baseline="c",
            )
        ],
        times=Times(wall_s=10, timed_s=4, evaluation_s=2),
        notices=["☃"],
        status="complete",
    )  # fmt: skip
    cells = [
        cell(status="measured", families=["prune", "quantize"], steady=True, calls=2**40, latency_p50_s=1e-9),
        cell(cell_id="d", status="failed", reason="☃\n\"'", families=[], warnings=["w"]),
    ]
    calls = {
        "cell_id": ["c"] * 3,
        "arm": ["subject"] * 3,
        "trial": [0, 0, 1],
        "round": [0, 1, 0],
        "call_ns": [1, 2, 3],
        "sitting": ["abc/g"] * 3,
    }
    write_run(tmp_path, content, {"cells": cells, "calls": calls})
    run = load(tmp_path)
    assert run.info == content
    assert run.info.times.measured_share == pytest.approx(0.6)
    first, second = run.cells.to_dict("records")
    assert list(first["families"]) == ["prune", "quantize"]
    assert list(second["families"]) == []
    assert first["steady"] is True
    assert first["calls"] == 2**40
    assert first["latency_p50_s"] == 1e-9
    assert second["reason"] == "☃\n\"'"
    assert run.cells["latency_p99_s"].isna().all()
    assert run.cells["stage"].isna().all()
    np.testing.assert_array_equal(run.calls["call_ns"], [1, 2, 3])
    assert len(run.blocks) == len(run.scores) == 0
    assert list(run.blocks.columns) == [column.name for column in columns(Block)]


def test_a_run_in_a_folder_with_an_equals_sign(tmp_path: Path) -> None:
    run = load(make(tmp_path / "model=x" / "cell_id=7"))
    assert list(run.cells["cell_id"]) == ["c"]
    assert run.cells["model"].isna().all()


def test_columns_that_an_older_run_lacks_are_null_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    table = pq.read_table(folder / "cells.parquet", partitioning=None)
    table = table.drop_columns(["latency_p90_s", "families"]).append_column("new", pa.array([1]))
    pq.write_table(table, folder / "cells.parquet")
    cells = load(folder).cells
    assert list(cells.columns) == [column.name for column in columns(Record)]
    assert cells["latency_p90_s"].isna().all()
    assert cells["families"].isna().all()


def test_a_column_of_a_narrower_type_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    table = pq.read_table(folder / "cells.parquet", partitioning=None)
    for name, kind in (("calls", pa.int32()), ("latency_p50_s", pa.int64())):
        table = table.set_column(table.column_names.index(name), name, pa.array([7], kind))
    pq.write_table(table, folder / "cells.parquet")
    assert load(folder).cells.loc[0, "calls"] == 7


def test_fields_that_a_newer_harness_adds_are_kept(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, "weather": "rain"}))
    assert read_info(folder).model_dump()["weather"] == "rain"


def test_a_newer_schema_version_is_refused_in_words_whatever_else_it_changed(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    for content in (
        {"schema_version": SCHEMA_VERSION + 1, "runs": []},
        {"schema_version": 99, **info().model_dump(exclude={"schema_version"})},
    ):
        (folder / "run.json").write_text(json.dumps(content))
        with pytest.raises(StoreError, match=r"schema version \d+; this harness reads up to 2: update it"):
            load(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", b'{"run_id": ', "damaged"),
        ("run.json", b"", "damaged"),
        ("run.json", b"[]", "damaged"),
        ("run.json", b"\xff\xfe", "damaged"),
        ("run.json", None, "no run.json"),
        ("cells.parquet", b"PAR1 and no more", "damaged"),
        ("cells.parquet", b"", "damaged"),
        ("cells.parquet", None, "missing"),
    ],
)
def test_a_damaged_run_is_named(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    folder = make(tmp_path / "r")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(StoreError, match=words) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"peaks": [{"threads": 2, "memory_bandwidth_bytes_per_s": 1.0, "rates": None}]},
            "peaks: 0: .*rates is missing",
        ),
        (
            {"peaks": [{}]},
            "peaks: 0: .*threads, memory_bandwidth_bytes_per_s, rates is missing or of another type",
        ),
        ({"doctor": [{"name": "load", "level": "ok", "value": "none"}]}, "doctor: 0: .*why is missing"),
        ({"times": {"wall_s": "long"}}, "times: wall_s: "),
    ],
)
def test_a_field_that_readers_go_by_is_named_when_it_is_damaged(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = make(tmp_path / "r") / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=rf"run\.json is damaged: {words}"):
        load(path.parent)


def test_a_truncated_table_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    path = folder / "calls.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    run = load(folder)
    with pytest.raises(StoreError, match=r"calls\.parquet is damaged"):
        _ = run.calls


def test_a_column_of_another_type_is_damage(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    path = folder / "cells.parquet"
    table = pq.read_table(path, partitioning=None)
    at = table.column_names.index("calls")
    pq.write_table(table.set_column(at, "calls", pa.array(["many"] * table.num_rows)), path)
    with pytest.raises(StoreError, match=r"cells\.parquet is damaged"):
        read_table(folder, "cells")


def test_another_table_in_its_place_and_a_folder_are_damage(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    (folder / "cells.parquet").write_bytes((folder / "blocks.parquet").read_bytes())
    with pytest.raises(
        StoreError, match=r"cells\.parquet is damaged: no table of cells, as it lacks group_id"
    ):
        load(folder)
    for name in ("scores", "calls"):
        (folder / f"{name}.parquet").unlink()
        (folder / f"{name}.parquet").mkdir()
        with pytest.raises(StoreError, match=rf"{name}\.parquet is damaged: it is a folder"):
            read_table(folder, name)
    with pytest.raises(StoreError, match=r"calls\.parquet is damaged: it is a folder"):
        Calls(Run(folder, info()))


def test_runs_are_found_oldest_first_and_damaged_and_unfinished_ones_are_left_out(tmp_path: Path) -> None:
    make(tmp_path / "s" / "m" / "b", run_id="new", started_at="2026-02-01T00:00:00+00:00")
    make(tmp_path / "s" / "m" / "c", run_id="old", started_at="2026-01-01T00:00:00+00:00")
    make(tmp_path / "s" / "m" / "d.partial")
    bad = make(tmp_path / "s" / "m" / "e")
    (bad / "cells.parquet").write_bytes(b"")
    newer = make(tmp_path / "s" / "m" / "f", schema_version=SCHEMA_VERSION + 1)
    runs, faults = find(tmp_path)
    assert [run.info.run_id for run in runs] == ["old", "new"]
    assert [str(bad) in faults[0], str(newer) in faults[1]] == [True, True]
    assert len(faults) == 2


def test_find_below_an_empty_folder(tmp_path: Path) -> None:
    assert find(tmp_path) == ([], [])


def test_a_folder_that_is_itself_below_a_partial_one_can_be_searched(tmp_path: Path) -> None:
    make(tmp_path / "x.partial" / "r")
    assert len(find(tmp_path / "x.partial")[0]) == 1


def test_publishing_renames_and_refuses_a_name_that_is_taken(tmp_path: Path) -> None:
    partial = make(tmp_path / "r.partial")
    publish(partial, tmp_path / "r")
    assert load(tmp_path / "r").info.suite == "s"
    second = make(tmp_path / "r2.partial")
    with pytest.raises(StoreError, match="exists already"):
        publish(second, tmp_path / "r")
    assert second.is_dir()
    with pytest.raises(StoreError, match="cannot rename"):
        publish(tmp_path / "none.partial", tmp_path / "none")


def test_rows_that_lack_a_column_get_a_null(tmp_path: Path) -> None:
    write_table(tmp_path, "scores", [{"cell_id": "c", "sample": 1}])
    assert read_table(tmp_path, "scores")["score"].isna().all()


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_type_and_a_meaning(name: str) -> None:
    found = columns(TABLES[name])
    assert len(arrow_schema(TABLES[name])) == len(found) == len({column.name for column in found})
    assert all(column.meaning for column in found)
    endings = {"_s": "s", "_bytes": "bytes", "_flop_per_s": "FLOP/s", "_samples_per_s": "samples/s"}
    ending = {
        column.name: max((e for e in endings if column.name.endswith(e)), key=len, default="")
        for column in found
        if not column.required
    }
    assert all(column.unit == endings[ending[column.name]] for column in found if ending.get(column.name))


def test_empty_logs_are_removed_and_others_kept(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "full").write_text("x")
    (tmp_path / "folder").mkdir()
    remove_empty_files(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "full"]
    remove_empty_files(tmp_path / "none")


def test_the_docs_list_the_columns_as_they_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "run-format.md").read_text("utf-8")
    begin, end = "<!-- columns: made by harness.store.schema.documentation -->\n", "<!-- end of columns -->\n"
    assert text.partition(begin)[2].partition(end)[0].strip() == documentation()


def test_records_are_read_with_plain_values(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    rows = [cell(calls=3, quality=float("nan"), latency_p50_s=float("inf"), families=None, arm="control")]
    write_run(folder, info(), {"cells": [*rows, cell(families=["prune"], steady=False)]})
    first, second = load(folder).records
    assert (first.calls, first.quality, first.latency_p50_s, first.families) == (3, None, None, [])
    assert (second.calls, second.families, second.steady, second.arm) == (None, ["prune"], False, "subject")
