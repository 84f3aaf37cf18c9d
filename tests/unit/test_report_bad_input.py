"""Bad input: no Runs, Runs of an older schema, damaged tables, several suites. Never a traceback."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from pages import Reader
from runs import GROUPS, TECHNIQUES, make_run

from harness.commands.report import report_runs
from harness.errors import ExitCode, StoreError

OLD_COLUMNS = {
    "cells": "cell_id group_id model technique workload hardware families runtime pipeline scenario batch"
    " device threads replicas arm status stage reason log artifact_bytes build_s latency_p50_s calls"
    " trials blocks throughput_samples_per_s peak_rss_steady_bytes quality_metric quality_unit quality audit",
    "blocks": "cell_id arm trial round order duration_s calls samples median_s tags",
}
NEWER_FIELDS = ("doctor", "peaks", "clock", "times", "notices", "grade", "command", "seed", "suite_sha256")


def site_of(results, out):
    code = report_runs(None, results, out, markdown=False, quiet=True)
    assert code == ExitCode.OK
    return {p.relative_to(out).as_posix(): Reader(p.read_text("utf-8")) for p in sorted(out.rglob("*.html"))}


def age(folder):
    """Make a Run as an early version wrote it: fewer columns, fewer fields, Groups that say less."""
    for name, columns in OLD_COLUMNS.items():
        path = folder / f"{name}.parquet"
        pq.write_table(pq.read_table(path, partitioning=None).select(columns.split()), path)
    content = json.loads((folder / "run.json").read_text("utf-8"))
    content = {key: value for key, value in content.items() if key not in NEWER_FIELDS}
    for group in content["groups"]:
        for key in ("options", "speed", "conditions", "call"):
            del group[key]
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_run_of_an_older_schema_makes_every_page(tmp_path):
    age(make_run(tmp_path / "results" / "old", GROUPS, TECHNIQUES).folder)
    pages = site_of(tmp_path / "results", tmp_path / "out")
    assert sum(name.startswith("cells/") for name in pages) == 2 * len(TECHNIQUES)
    assert "pruned-50" in pages["index.html"].text
    for name, found in pages.items():
        assert found.unbalanced == [], name
        assert not {"nan", "none"} & set(found.text.lower().split()), name


@pytest.mark.parametrize("table", ["cells", "blocks", "scores", "calls"])
@pytest.mark.parametrize("how", ["torn", "scratched", "missing"])
def test_a_damaged_table_is_named_and_the_other_runs_are_shown(tmp_path, table, how):
    results = tmp_path / "results"
    make_run(results / "good", GROUPS[:1], TECHNIQUES[:3], suite="good")
    path = make_run(results / "bad", GROUPS[:1], TECHNIQUES[:3], suite="bad").folder / f"{table}.parquet"
    content = path.read_bytes()
    if how == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif how == "missing":
        path.unlink()
    else:  # its end is whole, what it describes is not
        middle = pq.read_metadata(path).row_group(0)
        start = min(middle.column(i).data_page_offset for i in range(middle.num_columns))
        path.write_bytes(content[: start - 20] + b"\xff" * 400 + content[start + 380 :])
    pages = site_of(results, tmp_path / "out")
    front = pages["index.html"]
    assert any(name.startswith("boards/") and "-good." in name for name in pages)
    if (table, how) == ("calls", "scratched"):  # read for the Cells' figures alone: the pages stay
        cells = [found for name, found in pages.items() if name.startswith("cells/") and "-bad." in name]
        assert len(cells) == 3
        assert all("calls.parquet is damaged" in cell.text for cell in cells)
    else:
        assert f"{table}.parquet is {'missing' if how == 'missing' else 'damaged'}" in front.text
        assert not any("-bad." in name for name in pages)


def test_nothing_but_damaged_runs_and_no_runs_are_one_clear_error(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    with pytest.raises(StoreError, match=r"there is no Run below .*harness run suites/digits.yaml"):
        report_runs(None, results, tmp_path / "out", markdown=False, quiet=True)
    (make_run(results / "bad", GROUPS[:1], TECHNIQUES[:2]).folder / "cells.parquet").write_bytes(b"no")
    with pytest.raises(StoreError, match=r"there is no Run .*cells.parquet is damaged"):
        report_runs(None, results, tmp_path / "out", markdown=False, quiet=True)
    assert not (tmp_path / "out").exists()


def test_suites_stand_side_by_side_and_are_never_pooled(tmp_path):
    for suite in ("one", "two"):
        make_run(tmp_path / "results" / suite, GROUPS[:1], TECHNIQUES[:3], suite=suite)
    pages = site_of(tmp_path / "results", tmp_path / "out")
    boards = [found for name, found in pages.items() if name.startswith("boards/")]
    assert len(boards) == 2
    assert all(len([a for a in board.all("tbody") if "data-cell" in a]) == 3 for board in boards)
    assert "on several machines" not in pages["machines.html"].text
