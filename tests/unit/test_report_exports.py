"""Exports: what pytest-benchmark's own program reads, and refusals in words."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from pytest_benchmark.stats import Stats
from runs import TECHNIQUES, Group, Technique, make_run, vary

from harness.commands.export import export_run
from harness.commands.report import report_runs
from harness.errors import ExitCode, HarnessError, StoreError, UnknownNameError
from harness.report.exports.pytest_benchmark import convert, stats
from harness.report.exports.registry import EXPORTS


def test_pytest_benchmark_itself_compares_two_exported_runs(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        make_run(tmp_path / name, (Group(),), TECHNIQUES[:4], seed=seed)
        export_run(str(tmp_path / name), tmp_path, "pytest-benchmark", tmp_path / f"{name}.json")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_benchmark",
            "compare",
            "--columns=min,median,rounds",
            "a.json",
            "b.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "cnn · online · cpu" in ran.stdout
    for technique in TECHNIQUES[:4]:
        assert sum(line.startswith(technique.name) for line in ran.stdout.splitlines()) == 2


def test_statistics_are_those_of_the_timed_calls(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:2])
    content = json.loads(convert(run))
    first = next(one for one in content["benchmarks"] if one["name"] == "eager")
    calls = run.calls[(run.calls["arm"] == "baseline")]["call_ns"].to_numpy() / 1e9
    assert first["stats"]["rounds"] == len(calls)
    assert first["stats"]["median"] == pytest.approx(float(np.median(calls)))
    assert first["stats"]["stddev"] == pytest.approx(float(np.std(calls, ddof=1)))
    assert content["commit_info"]["id"] == "4be1d8c0a93f5526bb01"
    assert (
        content["commit_info"]["time"] is None
    )  # a Run knows when it began, and not when the commit was made
    assert content["benchmarks"][0]["extra_info"]["speedup"] == pytest.approx(1.62, rel=0.05)


def test_statistics_of_one_call_and_of_equal_calls():
    assert stats(np.array([0.25]))["outliers"] == "0;0"
    equal = stats(np.full(9, 0.5))
    assert (equal["iqr"], equal["ld15iqr"], equal["ops"]) == (0.0, 0.5, 2.0)


def test_what_is_off_the_board_is_not_exported(tmp_path):
    techniques = (*vary("compile", audit="failed"), Technique("gone", status="skipped", reason="no"))
    content = json.loads(convert(make_run(tmp_path / "run", (Group(),), techniques)))
    assert {one["name"] for one in content["benchmarks"]} == {t.name for t in TECHNIQUES} - {"compile"}


def test_every_format_makes_text_and_an_unknown_one_is_named(tmp_path, capsys):
    make_run(tmp_path / "run", (Group(),), TECHNIQUES[:2])
    for name in EXPORTS.names():
        assert export_run(str(tmp_path / "run"), tmp_path, name, None) == ExitCode.OK
        assert "eager" in capsys.readouterr().out
    with pytest.raises(UnknownNameError, match="pytest-benchmark"):
        export_run(str(tmp_path / "run"), tmp_path, "pytest-bench", None)
    with pytest.raises(HarnessError, match="--format is missing; allowed: csv, json, pytest-benchmark"):
        export_run(str(tmp_path / "run"), tmp_path, None, None)


def test_damage_and_absence_are_errors_for_people(tmp_path):
    run = make_run(tmp_path / "x" / "run", (Group(),), TECHNIQUES[:2])
    (run.folder / "calls.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"calls\.parquet is damaged"):
        export_run(str(run.folder), tmp_path, "pytest-benchmark", None)
    with pytest.raises(StoreError, match="there is no Run of 'nothing'"):
        export_run("nothing", tmp_path, "csv", None)


def test_several_suites_in_one_folder_are_one_site(tmp_path, capsys):
    make_run(tmp_path / "r" / "a", (Group(),), TECHNIQUES[:2])
    make_run(tmp_path / "r" / "b", (Group(),), TECHNIQUES[:2], suite="other")
    report_runs(None, tmp_path / "r", tmp_path / "out", markdown=False, quiet=False)
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "digits · other" in text
    assert capsys.readouterr().out.count("Report:") == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 51, 1001])
def test_statistics_are_those_that_pytest_benchmark_works_out_itself(count):
    theirs, times = Stats(), np.random.default_rng(count).exponential(1e-3, count)
    for value in times:
        theirs.update(value)
    found = stats(times)
    for name, value in found.items():
        if name not in ("iterations", "outliers"):  # the first is no statistic, the second made of others
            assert getattr(theirs, name) == pytest.approx(value, rel=1e-9), name
    assert found["outliers"] == theirs.outliers
    assert stats(np.full(count, 0.1))["iqr"] == 0
