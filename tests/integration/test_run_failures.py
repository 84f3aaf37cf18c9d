"""Whatever a Cell does, it fails alone: with its stage, its reason and a log that is there."""

import re

import pytest
from bench import EAGER, INPUT, ONE_THREAD, ORT, STEADY, Bench, needs_two_cores

from harness.analysis.compare.comparison import compare

pytestmark = pytest.mark.slow


def test_bad_cells_fail_alone(bench: Bench) -> None:
    needs_two_cores()
    (bench.folder / "corrupt.safetensors").write_bytes(b"\xff" * 100)
    torch = {"torch": "run_factories:net", "inputs": INPUT}
    suite = bench.suite(
        {
            "healthy": "net",
            **{name: name for name in ("raises", "exits", "segfaults", "hangs", "is_killed")},
            "nan": {**torch, "torch": "run_factories:not_a_number", "dataset": "run_factories:data"},
            "corrupt weights": {**torch, "weights": "corrupt.safetensors"},
            "corrupt data": {**torch, "dataset": "run_factories:broken_data"},
        },
        {**EAGER, "x2": [{"runtime": "torch-eager"}, {"replicate": {"replicas": 2}}]},
        {"bulk": {"scenario": "offline", "batch": 8}},
        exclude=[{"technique": "x2"}, {"model": "hangs"}],
        include=[{"model": ["hangs", "is_killed"], "technique": "x2"}],
        measure={"timeout": "25s", "trials": 1},
    )
    out = bench.harness("run", str(suite), code=4)
    bench.assert_all_gone()
    run = bench.run()
    cells = run.cells[run.cells["arm"] != "control"].set_index(["model", "technique"])
    assert cells.loc[("healthy", "eager"), "status"] == "measured"
    expected = {
        ("raises", "eager"): ("build", ": run_factories.py:LINE: the factory 'run_factories:raises' raised"),
        ("exits", "eager"): ("build", "SystemExit: no licence for this model"),
        ("segfaults", "eager"): ("load", "SIGSEGV"),
        ("hangs", "x2"): ("load", "sent nothing for 25 s"),
        ("is_killed", "eager"): ("load", "SIGKILL"),
        ("is_killed", "x2"): ("load", "SIGKILL"),
        ("nan", "eager"): ("load", "NaN"),
        ("corrupt weights", "eager"): ("build", "corrupt.safetensors"),
        ("corrupt data", "eager"): ("build", "no-such-file.npy"),
    }
    assert set(cells.index) == {*expected, ("healthy", "eager")}
    for key, (stage, words) in expected.items():
        row = cells.loc[key]
        assert (row["status"], row["stage"]) == ("failed", stage), (key, row["reason"])
        assert words in re.sub(r"py:\d+", "py:LINE", row["reason"]), key
        assert "\n" not in row["reason"]
        assert (run.folder / row["log"]).stat().st_size > 0, key
        assert row["reason"] in out, key
    causes = re.findall(r"note: (\d+) Cells? failed: (.*?) — .*; log: .*\.log\n", out)
    assert sum(int(count) for count, _ in causes) == len(expected)
    assert len({cause for _, cause in causes}) == len(causes) < len(expected)  # SIGKILL took two


def test_a_baseline_that_is_killed_once_costs_nothing_and_one_that_always_is_says_so_first(
    bench: Bench,
) -> None:
    suite = bench.suite(
        {"once": "is_killed_once", "always": "is_killed"}, {**EAGER, **ORT}, measure=STEADY, **ONE_THREAD
    )
    out = bench.harness("run", str(suite), code=4)
    bench.assert_all_gone()
    run = bench.run()
    once, always = ([each for each in compare(run) if each.model == name] for name in ("once", "always"))
    assert {(each.technique, each.trials, each.speedup_method) for each in once} == {
        ("eager", 2, None), ("ort", 2, "t over 2 paired Trials"),
    }  # fmt: skip
    told = [text for each in run.records if each.model == "once" for text in each.warnings]
    assert sum("Trial 1 was started twice (load)" in text for text in told) == 1
    assert [(each.technique, each.speedup) for each in always] == [("ort", None)]
    lines = [line.strip() for line in out.splitlines()]
    title = next(number for number, line in enumerate(lines) if line.startswith("always · one by one"))
    assert lines[title + 1].startswith("There are no speed-ups: the baseline, eager, failed (load): ")
    assert "SIGKILL" in lines[title + 1]


def test_where_every_cell_fails_the_run_says_so(bench: Bench) -> None:
    (bench.folder / "corrupt.onnx").write_bytes(b"\x08\x0a\x3a\x07garbage")  # an IR version, and a graph
    suite = bench.suite({"raises": "raises", "file": {"onnx": "corrupt.onnx"}}, ORT)
    out = bench.harness("run", str(suite), code=5)
    assert "the weights are on another disk" in out
    run = bench.run()
    assert set(run.cells["status"]) == {"failed"}
    assert "corrupt.onnx" in run.cells.set_index("model").loc["file", "reason"]
    for row in run.cells.itertuples():
        assert (run.folder / row.log).stat().st_size > 0
    bench.harness("report", str(run.folder))
    bench.assert_all_gone()


def test_where_no_cell_can_run_nothing_is_started(bench: Bench) -> None:
    suite = bench.suite({"net": "net"}, EAGER, hardware={"many": {"threads": 4096}})
    out = bench.harness("run", str(suite), code=5)
    assert "wants 4,096 threads" in out
    assert "no Cell of this suite can run" in out
    assert not bench.results.exists()
