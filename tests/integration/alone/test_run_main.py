"""The main path with real workers: two models, several techniques, both scenarios; then from the cache.

It compares shares of memory and counts the Trials that load did not truncate, so it runs alone.
"""

import subprocess
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from bench import EAGER, INPUT, ORT, Bench, needs_two_cores

from harness.store.reading import Run

pytestmark = pytest.mark.slow

MODELS = {
    'it\'s a "net"': {"torch": "run_factories:net", "inputs": INPUT, "dataset": "run_factories:data"},
    "file": {"onnx": "my net.onnx"},
}
TECHNIQUES = {
    **EAGER,
    **ORT,
    "int8 'dyn'": [{"quantize": {"method": "dynamic", "dtype": "int8"}}, {"runtime": "onnxruntime"}],
    "replicas": [{"runtime": "onnxruntime"}, {"replicate": {"replicas": 2}}],
}
WORKLOADS = {
    "one by one": {"scenario": "single-stream"},
    "bulk": {"scenario": "offline", "batch": 32},
}
EXCLUDE = [{"model": "file", "workload": "one by one"}]


def libraries_of_workers(bench: Bench, process: subprocess.Popen) -> dict[str, set[str]]:
    """Watch a Run; return the ML libraries that each kind of worker process had mapped, while it lived."""
    mapped: dict[int, set[str]] = defaultdict(set)
    kinds: dict[int, str] = {}
    while process.poll() is None:
        time.sleep(0.2)
        for worker in bench.workers():
            try:
                kinds[worker.pid] = next(part for part in worker.cmdline() if part.startswith("harness."))
                text = Path(f"/proc/{worker.pid}/maps").read_text()
            except (OSError, psutil.Error, StopIteration):
                continue
            mapped[worker.pid] |= {name for name in ("libtorch", "onnxruntime_pybind11") if name in text}
    return {f"{kinds[pid]} {pid}": names for pid, names in mapped.items()}


def test_main_path(bench: Bench, onnx_file: Path) -> None:
    needs_two_cores()
    suite = bench.suite(MODELS, TECHNIQUES, WORKLOADS, exclude=EXCLUDE, quality={"batch": 8})
    process = bench.start("run", str(suite))
    libraries = libraries_of_workers(bench, process)
    code, out, err = bench.end(process)
    assert code == 0, out + err
    assert "Run: " in out
    check_libraries(libraries)
    bench.assert_all_gone()
    assert bench.partials() == []
    check_records(bench.run())

    bench.suite(  # one Trial of one workload is enough to see the cache
        *(MODELS, TECHNIQUES, {"bulk": WORKLOADS["bulk"]}),
        quality={"batch": 8, "samples": 64},
        measure={"trials": 1},
    )
    second = bench.harness("run", str(suite), "--report", "the report")
    assert "build: nothing to do, all cached" in second
    assert (bench.folder / "the report" / "index.html").is_file()
    first, again = bench.runs()
    assert first.info.run_id != again.info.run_id
    first_bulk = first.cells[first.cells["workload"] == "bulk"]
    keys = [set(cells["artifact_key"].dropna()) for cells in (first_bulk, again.cells)]
    assert keys[0] == keys[1] != set()
    evaluated = again.cells[again.cells["quality"].notna()]
    assert (evaluated["evaluation_samples"] == 64).all()
    assert evaluated.loc[evaluated["model"] != "file", "evaluation_set_samples"].eq(96).all()
    sampled = again.scores.groupby("cell_id")["sample"].apply(tuple)
    assert sampled.nunique() == again.cells["model"].nunique()  # the same for all arms of a model


def check_libraries(libraries: dict[str, set[str]]) -> None:
    others = ("workers.build", "workers.inspect")  # these may load any library
    measuring = {who: names for who, names in libraries.items() if not any(one in who for one in others)}
    assert any(names == {"onnxruntime_pybind11"} for names in measuring.values())
    assert any(names == {"libtorch"} for names in measuring.values())
    assert not [who for who, names in measuring.items() if len(names) > 1]


def check_records(run: Run) -> None:
    cells = run.cells[run.cells["arm"] != "control"]
    assert run.info.status == "complete"
    assert set(cells["status"]) == {"measured", "skipped"}
    skipped = cells[cells["status"] == "skipped"]
    reasons = {(row.model, row.technique, row.workload): row.reason for row in skipped.itertuples()}
    assert all(
        "only in the scenario offline" in reason for key, reason in reasons.items() if key[1] == "replicas"
    )
    assert all("not for this model" in reason for key, reason in reasons.items() if key[1] == "eager")
    measured = cells[cells["status"] == "measured"]
    assert len(measured) == 7 + 3
    for column in (
        "latency_mean_s",
        "latency_min_s",
        "throughput_samples_per_s",
        "first_call_s",
        "load_s",
        "import_s",
    ):
        assert (measured[column] > 0).all(), column
    for column in (
        "peak_rss_steady_bytes",
        "rss_empty_bytes",
        "pss_bytes",
        "artifact_bytes",
        "artifact_zstd_bytes",
        "parameters",
    ):
        assert (measured[column] > 0).all(), column
    both = measured.dropna(subset=["latency_p50_s", "latency_p99_s"])
    assert (both["latency_min_s"] <= both["latency_p50_s"]).all()
    assert (both["latency_p50_s"] <= both["latency_p99_s"]).all()
    assert (measured["trials"] == 2).all()
    assert (measured["audit"] == "passed").all()
    check_evaluation(measured)
    by_name = measured[measured["model"] != "file"].set_index(["technique", "workload"])
    for workload in WORKLOADS:
        assert by_name.loc[("eager", workload), "quality"] == by_name.loc[("ort", workload), "quality"]
        assert by_name.loc[("eager", workload), "quality"] == pytest.approx(86 / 96)
    ort, replicas = by_name.loc[("ort", "bulk")], by_name.loc[("replicas", "bulk")]
    for column in ("peak_rss_load_bytes", "peak_rss_steady_bytes", "pss_bytes"):
        assert replicas[column] > 1.5 * ort[column], column
    assert (measured[measured["model"] == "file"]["quality_metric"] == "agreement").all()
    check_tables(run)


def check_evaluation(measured: pd.DataFrame) -> None:
    """Dynamic quantization has one scale for the activations of a batch: it keeps to the timed one."""
    told = measured.set_index(["technique", "workload"])
    dynamic = told.index.get_level_values("technique") == "int8 'dyn'"
    single = told.index.get_level_values("workload") == "one by one"
    assert told["evaluation_batch"].tolist() == np.where(single, np.where(dynamic, 1, 8), 32).tolist()
    warned = told["warnings"].map(lambda texts: any("quality" in text for text in texts))
    assert warned.tolist() == (dynamic & single).tolist()


def check_tables(run: Run) -> None:
    assert len(run.calls) == run.cells["calls"].sum()
    assert len(run.blocks) == run.cells["blocks"].sum()
    assert sorted(run.blocks["order"]) == list(range(len(run.blocks)))
    assert (np.diff(run.blocks.sort_values("order")["start_s"]) > 0).all()
    controls = run.cells[run.cells["arm"] == "control"]
    assert len(controls) == 2  # the file's baseline is skipped
    assert controls["warnings"].map(lambda texts: not any("quality" in text for text in texts)).all()
    assert all((run.folder / log).is_file() for log in run.cells["log"].dropna())
    assert 0 < run.info.times.measured_share < 1
    assert not (run.folder / "journal.jsonl").exists()
    assert (run.folder / "log.jsonl").is_file()
