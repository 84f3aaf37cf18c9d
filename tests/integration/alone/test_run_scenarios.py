"""Server, multi-stream and LoadGen with real workers, from the suite to the Record and the table.

The rate that a server holds depends on what else runs, so it is searched alone.
"""

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
from bench import ORT, Bench

from harness.analysis.compare.comparison import compare
from harness.analysis.compare.leaderboard import boards
from harness.measure.loadgen import MODULE

pytestmark = pytest.mark.slow

BOUND_S = 0.2
"""So wide that even a disturbed machine answers some queries within it."""
WORKLOADS = {
    "found": {"scenario": "server", "latency_bound": "200ms", "percentile": 0.9, "search_time": "1s"},
    "given": {"scenario": "server", "qps": 200, "latency_bound": "200ms"},
    "impossible": {"scenario": "server", "latency_bound": "1us", "percentile": 0.9},
    "together": {"scenario": "multi-stream", "samples_per_query": 6, "batch": 2},
}
LOADGEN = {
    "lg server": {"scenario": "loadgen-server", "latency_bound": "200ms", "percentile": 0.9},
    "lg offline": {"scenario": "loadgen-offline", "batch": 4},
}


def test_queries_that_come_by_themselves(bench: Bench, onnx_file: Path) -> None:
    asked = WORKLOADS | (LOADGEN if importlib.util.find_spec(MODULE) else {})
    suite = bench.suite({"net": {"onnx": onnx_file.name}}, ORT, asked)
    assert "server, batch 1, latency_bound 0.2, percentile 0.9" in bench.harness(
        "run", str(suite), "--dry-run"
    )
    out = bench.harness("run", str(suite), code=4)
    run = bench.run()
    cells = run.cells[run.cells["arm"] != "control"].set_index("workload")
    measured = cells.drop("impossible")
    assert (measured["status"] == "measured").all()
    assert measured["audit"].eq("passed").all()
    assert cells.loc["impossible", "status"] == "failed"
    assert "no rate holds latency_bound 0.001 ms" in cells.loc["impossible", "reason"]

    found = cells.loc["found"]
    rates = [json.loads(statistics)["rate_per_s"] for statistics in of(run, found)["statistics"]]
    least, most = min(rates) * (1 - 1e-9), max(rates) * (1 + 1e-9)
    assert least <= found["qps"] <= most
    assert 0 <= found["over_bound_share"] <= 1
    assert found["utilization"] > 0
    searches = json.loads(found["search"])
    assert len(searches) == found["trials"] == 2
    assert all(search["rates_per_s"] for search in searches)
    assert (of(run, found)["seconds_per_sample"] * rates).round(9).eq(1).all()

    given = cells.loc["given"]
    assert given["qps"] == pytest.approx(200)
    assert pd.isna(given["search"])
    assert (of(run, given)["samples"] == of(run, given)["calls"]).all()
    together = of(run, cells.loc["together"])
    assert (together["samples"] == 6 * together["calls"]).all()
    assert (together["seconds_per_sample"] * 6).round(12).tolist() == together["median_s"].round(12).tolist()

    speeds = {board.group.workload: board.group.speed for board in boards(run)}
    assert speeds["found"] == "rate"
    assert speeds["given"] == speeds["together"] == "latency"
    (per_sample,) = [row.seconds_per_sample for row in compare(run) if row.workload == "found"]
    assert least <= 1 / per_sample <= most
    heads = [set(line.split()) for line in out.splitlines()]
    assert any({"queries", "size", "memory"} <= words for words in heads)  # the rate is a column of the table
    assert "as many a second as keep p90 within 200 ms" in out
    if importlib.util.find_spec(MODULE):
        assert cells.loc["lg server", "qps"] > 0
        assert "mlcommons-loadgen" in run.info.versions
    bench.harness("report", str(run.folder), "--out", "page")
    pages = [path.read_text() for path in (bench.folder / "page").rglob("*.html")]
    assert any("queries/s" in page and "search, Trial 1" in page for page in pages)


def of(run, cell):
    blocks = run.blocks
    return blocks[(blocks["cell_id"] == cell["cell_id"]) & (blocks["arm"] == cell["arm"])]
