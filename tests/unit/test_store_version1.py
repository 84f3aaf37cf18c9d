"""Runs of schema version 1, by one Group of a Run of that version: read everywhere, resumed nowhere."""

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pages import whole

from harness.analysis.compare.leaderboard import boards
from harness.errors import StoreError
from harness.report.exports.tables import as_csv
from harness.report.markdown import summary
from harness.runner.run.resume import began
from harness.store import version1
from harness.store.reading import Calls, find, load

FOLDER = Path(__file__).parent / "version1"


@pytest.fixture(scope="module")
def run():
    return load(FOLDER)


def test_columns_and_values_have_the_names_of_today(run):
    record = next(each for each in run.records if each.technique == "int8-dynamic")
    assert (record.arm, record.artifact_format, record.calls, record.evaluation_samples) == (
        *("subject", "onnx", 450, 525),
    )
    assert record.compute_dtype == "uint8 × int8, one weight scale a channel; weights in 8 bits"
    assert record.throughput_samples_per_s == pytest.approx(203.21, abs=0.01)
    assert record.compute_utilization == pytest.approx(0.310, abs=0.001)
    assert record.code_digest is None
    assert {each.arm for each in run.records} == {"subject", "baseline", "control"}
    assert "compute_dtype" in json.loads(record.build_details)[-1]["details"]
    assert all(each.runtime_compute_dtype == "float32" for each in run.records)


def test_its_other_tables_are_read(run):
    assert set(run.blocks["arm"]) == {"subject", "baseline", "control"}
    assert set(run.blocks["sitting"]) == {f"{run.info.run_id}/{run.records[0].group_id}"}
    assert (run.blocks["samples"] == run.blocks["calls"]).all()  # batch 1
    assert len(run.scores) == 3675 and run.scores["sample"].max() == 524
    found = Calls(run)
    assert sum(part.size for parts in found.values() for part in parts) == len(run.calls) == 2819
    assert {arm for _, arm in found} == set(run.calls["arm"]) == {"subject", "baseline", "control"}


def test_the_fields_of_run_json_have_the_names_of_today(run):
    info = run.info
    assert (info.schema_version, info.settings["target_ci"], info.settings["peak_time"]) == (1, 0.02, 2.0)
    (peaks,) = info.peaks
    assert peaks["memory_bandwidth_bytes_per_s"] == pytest.approx(33.72e9, rel=1e-3)
    assert {rate["dtype"]: rate["compute_dtype"] for rate in peaks["rates"]}["int4"] == "int8"
    assert info.groups[0].call == "time of one call"
    assert info.times.evaluation_s == pytest.approx(183.6, abs=0.1)


def test_it_is_compared_shown_and_exported(run, tmp_path):
    (board,) = boards(run)
    assert (board.baseline.technique, board.row(board.best).technique) == ("onnxruntime", "int8-static")
    assert board.floor == pytest.approx(0.0929, abs=1e-4)
    assert board.row(board.best).quality_loss == pytest.approx(0.0086, abs=1e-4)
    assert "int8-static" in summary(run)
    rows = list(csv.DictReader(io.StringIO(as_csv(run))))
    assert len(rows) == 7 and {row["arm"] for row in rows} == {"subject", "baseline"}
    shutil.copytree(FOLDER, tmp_path / "results" / "run")
    runs, faults = find(tmp_path / "results")
    assert faults == []
    pages = whole(tmp_path / "out", runs)
    assert sum(name.startswith("cells/") for name in pages) == 7
    assert all(page.unbalanced == [] for page in pages.values())


def test_values_that_changed_their_word():
    found = pa.table(
        {"arm": ["cell", None], "stage": ["quality", "build"], "search": ['{"settled": 1}', None]}
    )
    assert version1.table("cells", found).to_pylist() == [
        {"arm": "subject", "stage": "evaluation", "search": '{"resolved": 1}'},
        {"arm": None, "stage": "build", "search": None},
    ]


def test_a_damaged_run_json_of_version_1_is_named(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 1, "roofs": [3], "groups": 7}))
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        load(tmp_path)


def test_an_unfinished_run_of_version_1_is_not_resumed(tmp_path):
    info = {"schema_version": 1, "run_id": "r", "suite": "s", "started_at": "2026-01-01T00:00:00+00:00"}
    with pytest.raises(StoreError, match="cannot be resumed") as caught:
        began(tmp_path, [{"event": "run", "info": info}])
    assert "schema version 1, now 2" in str(caught.value) and "\n" not in str(caught.value)
