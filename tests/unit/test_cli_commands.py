"""The command line in this process: exit codes, messages, and what a machine reads."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from suite_texts import content, write

import harness.cli
from harness.artifacts.cache import Cache
from harness.devices import cuda

ROOT = Path(__file__).resolve().parents[2]
KINDS = (
    "models",
    "sources",
    "techniques",
    "conversions",
    "runtimes",
    "datasets",
    "data",
    "metrics",
    "scenarios",
    "suites",
)


@pytest.fixture
def harness_cli(monkeypatch, capsys, tmp_path):
    """Return a function that runs `harness …` in an empty folder: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            harness.cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(caught.value.code or 0), out, err

    return run


def test_help_names_every_verb(harness_cli):
    code, out, _ = harness_cli("--help")
    assert code == 0
    widest = max(map(len, harness.cli.VERBS))
    for verb, summary in harness.cli.VERBS.items():
        assert f"  {verb:<{widest}}  {summary[:40]}" in out


@pytest.mark.parametrize("verb", harness.cli.VERBS)
def test_every_verb_explains_itself(harness_cli, verb):
    code, out, _ = harness_cli(verb, "--help")
    assert code == 0
    assert f"harness {verb} " in out.splitlines()[0]
    assert out.splitlines()[2].strip()


def test_each_verb_is_a_module_and_no_other_module_is_one():
    modules = {path.stem for path in (ROOT / "harness" / "commands").glob("*.py")}
    named = (harness.cli.MODULES.get(verb, verb.replace("-", "_")) for verb in harness.cli.VERBS)
    assert modules == {*named, "__init__"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["run", "--dryrun", "x"], "No such option: --dryrun"),
        (["run"], "Missing argument"),
        (["cache", "clean"], "No such command 'clean'"),
        (["list", "models", "more"], "unexpected extra argument"),
    ],
)
def test_a_command_that_is_not_one_is_a_usage_error(harness_cli, arguments, says):
    code, _, err = harness_cli(*arguments)
    assert code == 2
    assert says in err


# ------------------------------------------------------------------ list


def test_list_names_every_kind_and_item_with_a_line(harness_cli):
    code, out, _ = harness_cli("list")
    assert code == 0
    assert [line for line in out.splitlines() if line in KINDS] == list(KINDS)
    samples = [line for line in out.splitlines() if line.startswith("  ")]
    assert all(len(line.split(None, 1)) == 2 for line in samples)
    for name in (
        "mnist-mlp",
        "quantize/static",
        "replicate",
        "export-onnx",
        "onnxruntime",
        "top-1",
        "offline",
    ):
        assert any(line.split()[0] == name for line in samples), name


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_one_kind_agrees_with_its_json(harness_cli, kind):
    code, out, _ = harness_cli("list", kind)
    assert code == 0
    code, as_json, _ = harness_cli("list", kind, "--json")
    assert code == 0
    assert list(json.loads(as_json)) == [kind]
    assert list(json.loads(as_json)[kind]) == [line.split()[0] for line in out.splitlines()]


def test_list_all_as_json_has_a_summary_for_each_name(harness_cli):
    code, out, _ = harness_cli("list", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == list(KINDS)
    assert all(summary for kind in KINDS[:-1] for summary in found[kind].values())


def test_list_of_an_unknown_kind_names_the_nearest(harness_cli):
    code, out, err = harness_cli("list", "runtime")
    assert (code, out) == (2, "")
    assert err.startswith("error: unknown kind 'runtime'; did you mean 'runtimes'? Known: all, ")


def test_list_shows_suites_and_those_that_cannot_be_read(harness_cli, tmp_path):
    (tmp_path / "suites").mkdir()
    write(tmp_path / "suites", content(description="what it asks"), "good.yaml")
    write(tmp_path / "suites", "[", "bad.yaml")
    code, out, _ = harness_cli("list", "suites", "--json")
    assert code == 0
    found = json.loads(out)["suites"]
    assert found["suites/good.yaml"] == "what it asks"
    assert found["suites/bad.yaml"].startswith("cannot be read: is not valid YAML")


def test_list_tells_what_a_runtime_lacks(harness_cli, monkeypatch):
    from harness.runtimes.registry import Runtime

    monkeypatch.setattr(Runtime, "missing", lambda self: "x is not installed: pip install 'x'")
    _, out, _ = harness_cli("list", "runtimes")
    assert all(line.endswith("[x is not installed: pip install 'x']") for line in out.splitlines())


# ------------------------------------------------------------------ run


def test_a_missing_suite_file_is_one_line(harness_cli):
    for arguments in (["run", "none.yaml"], ["run", "--dry-run", "none.yaml"]):
        assert harness_cli(*arguments) == (2, "", "error: none.yaml: no such suite file\n")


def test_one_problem_of_a_suite_is_one_line_and_several_are_counted(harness_cli, tmp_path):
    write(tmp_path, content(baseline="eagre"))
    code, out, err = harness_cli("run", "s.yaml")
    assert (code, out) == (2, "")
    says = "unknown technique 'eagre'; did you mean 'eager'? Known: eager, int8, ort"
    assert err == f"error: s.yaml:26: baseline: {says}\n"
    write(tmp_path, content(baseline="eagre", models={"a": {"zoo": "b"}, "c": {"zoo": "b"}}))
    code, _, err = harness_cli("run", "s.yaml")
    lines = err.splitlines()
    assert code == 2
    assert lines[0] == "error: 3 problems"
    assert all(line.startswith("  s.yaml:") for line in lines[1:])
    assert len(lines) == 4


def test_a_dry_run_prints_the_plan_and_writes_nothing(harness_cli, tmp_path):
    techniques = {
        **content()["techniques"],
        "twice [2]": [{"runtime": "onnxruntime"}, {"replicate": {"replicas": 2}}],
    }
    write(tmp_path, content(techniques=techniques, measure={"trials": 2, "max_time": "3s"}))
    code, out, err = harness_cli("run", "--dry-run", "s.yaml")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("small: 16 Cells in 4 Groups on ")
    for group in ("mlp / online / cpu", "mlp / bulk / cpu", "cnn / online / cpu", "cnn / bulk / cpu"):
        assert any(line.startswith(f"{group}: ") for line in lines)
    assert "export-onnx → quantize/static" in out
    assert "twice [2]" in out
    assert out.count("baseline") == 5  # one in each Group, and in the summary
    cells = "mlp, cnn / twice [2]"
    assert f"2 Cells skipped: replicate works only in the scenario offline — {cells} / online / cpu" in lines
    needed = "2 replicas need as many threads; the budget is 1"
    assert f"2 Cells skipped: {needed} — {cells} / bulk / cpu" in lines
    assert any(line.startswith("12 Cells to run, 4 skipped. Each: 2 Trials, 3.0 s timed") for line in lines)
    assert any(line.startswith("Estimated time: about ") for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.yaml"]


def test_a_run_that_is_to_fit_into_a_time_says_what_it_gives_up(harness_cli, tmp_path):
    write(tmp_path, content(measure={"trials": 2, "max_time": "1s"}))
    code, out, err = harness_cli("run", "--dry-run", "--time", "2s", "s.yaml")
    assert code == 0
    assert err == "note: to fit into 2.0 s (--time), the Run gives up: 10 Cells\n"
    assert "10 Cells skipped: given up to fit into the time of the Run (--time) — " in out
    for arguments in (["--time", "10"], ["--time", "0s"], ["--time", "10m", "--resume"]):
        code, out, err = harness_cli("run", *arguments, "s.yaml")
        assert (code, out) == (2, "")
        assert err.startswith("error: --time")


def test_a_dry_run_of_many_groups_is_cut_short(harness_cli, tmp_path):
    workloads = {f"w{batch}": {"scenario": "offline", "batch": batch} for batch in range(1, 31)}
    write(tmp_path, content(workloads=workloads))
    code, out, _ = harness_cli("run", "--dry-run", "s.yaml")
    assert code == 0
    assert "… and 20 more" in out


def test_quiet_says_nothing_when_all_is_well(harness_cli, tmp_path):
    write(tmp_path, content())
    assert harness_cli("run", "--dry-run", "-q", "s.yaml") == (0, "", "")


def test_a_group_that_has_no_baseline_here_is_told_before_it_is_measured(harness_cli, tmp_path):
    techniques = {
        "x2": [{"runtime": "onnxruntime"}, {"replicate": {"replicas": 2}}],
        **content()["techniques"],
    }
    write(tmp_path, content(techniques=techniques, models={"mlp": {"zoo": "mnist-mlp"}}))
    _, _, err = harness_cli("run", "--dry-run", "s.yaml")
    assert err.splitlines() == [
        "note: 2 Groups without speed-ups: the baseline, x2, is skipped; choose another with `baseline:` — "
        "mlp / online, bulk / cpu"
    ]


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_suite_of_which_nothing_can_run_here_ends_with_the_reasons(harness_cli, tmp_path, monkeypatch, dry):
    monkeypatch.setattr(cuda, "available", lambda nvml=None: "there is no GPU in this test")
    hardware = {"gpu": {"device": "cuda", "threads": 1}, "big": {"threads": 100_000}}
    write(tmp_path, content(hardware=hardware))
    code, out, err = harness_cli("run", *dry, "s.yaml")
    assert code == 5
    cells = "mlp, cnn / eager, ort, int8 / online, bulk"
    assert f"12 Cells skipped: there is no GPU in this test — {cells} / gpu\n" in out
    assert "12 Cells skipped: wants 100,000 threads; this process is given" in out
    if not dry:
        assert err == "error: no Cell of this suite can run on this machine; see the reasons above\n"
    assert not (tmp_path / "results").exists()


# ------------------------------------------------------------------ cache


def put(key, size, steps=()):
    cache = Cache()
    with cache.staging() as staged:
        (staged / "model.onnx").write_bytes(b"x" * size)
        cache.put(key, "onnx", staged, list(steps), {})


def test_an_empty_cache_is_shown_and_cleared(harness_cli, tmp_path):
    assert harness_cli("cache") == (0, f"0 Artifacts, 0 B, in {tmp_path}/cache/artifacts\n", "")
    assert harness_cli("cache", "clear") == (0, "freed 0 B\n", "")


def test_the_cache_is_shown_largest_first_and_cleared(harness_cli, tmp_path):
    put("a" * 20, 10)
    put("b" * 20, 2000, [{"step": "prune/channel", "build_s": 1, "build_peak_rss_bytes": 1}])
    code, out, _ = harness_cli("cache")
    assert code == 0
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["b" * 20, "2.00", "kB", "onnx", "prune/channel"],
        ["a" * 20, "10.0", "B", "onnx", "source", "model"],
    ]
    assert out.splitlines()[2].startswith("2 Artifacts, 2.01 kB, in ")
    code, out, _ = harness_cli("cache", "--json")
    found = json.loads(out)
    assert found["folder"] == str(tmp_path / "cache" / "artifacts")
    assert found["artifacts"][0] == {
        "key": "b" * 20,
        "format": "onnx",
        "payload_bytes": 2000,
        "last_step": "prune/channel",
    }
    assert harness_cli("cache", "clear")[:2] == (0, "freed 2.01 kB\n")
    assert json.loads(harness_cli("cache", "--json")[1])["artifacts"] == []


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (("--older-than", "30d"), "a"),
        (("--older-than", "1.5d"), "ab"),
        (("--max-size", "3kB"), "a"),
        (("--max-size", "2999B"), "ab"),
        (("--older-than", "30d", "--max-size", "2kB"), "ab"),
        (("--older-than", "60d", "--max-size", "1GB"), ""),
    ],
)
def test_what_was_unused_the_longest_is_collected(harness_cli, monkeypatch, options, gone):
    monkeypatch.setattr("harness.commands.cache.others", list)
    now = time.time()
    for key, days in (("a", 40), ("b", 2), ("c", 0.1)):
        put(key, {"a": 10, "b": 1000, "c": 2000}[key])
        manifest = Cache().folder / key / "artifact.json"
        os.utime(manifest, (now - days * 86_400,) * 2)
    code, out, _ = harness_cli("cache", "gc", *options)
    assert (code, "".join(line[0] for line in out.splitlines()[:-1])) == (0, gone)
    size = {"": "0 B", "a": "10.0 B", "ab": "1.01 kB"}[gone]
    assert out.splitlines()[-1] == f"removed {len(gone)} Artifact{'' if len(gone) == 1 else 's'}, {size}"
    assert {path.name for path in Cache().folder.iterdir()} == set("abc") - set(gone)


def test_using_an_artifact_keeps_it(harness_cli, monkeypatch):
    monkeypatch.setattr("harness.commands.cache.others", list)
    put("a", 10)
    os.utime(Cache().folder / "a" / "artifact.json", (0, 0))
    assert Cache().get("a") is not None
    assert harness_cli("cache", "gc", "--older-than", "1d")[1] == "removed 0 Artifacts, 0 B\n"


@pytest.mark.parametrize(
    ("options", "pids", "says"),
    [
        ((), [], "give --older-than (for example 30d), --max-size (for example 10GB) or both"),
        (("--older-than", "soon"), [], "--older-than: 'soon' is not a duration"),
        (("--max-size", "10"), [], "--max-size: '10' is not a size; write for example 500MB or 10GB"),
        (("--max-size", "0B"), [7, 8], "a Run is active (process 7, 8)"),
    ],
)
def test_nothing_is_collected_beside_a_run_or_without_a_limit(harness_cli, monkeypatch, options, pids, says):
    monkeypatch.setattr("harness.commands.cache.others", lambda: pids)
    put("a", 10)
    code, _, err = harness_cli("cache", "gc", *options)
    assert code == 2
    assert says in err
    assert Cache().get("a") is not None


# ------------------------------------------------------------------ the other verbs


def test_doctor_as_json_has_findings(harness_cli):
    code, out, _ = harness_cli("doctor", "--json")
    assert code == 0
    findings = json.loads(out)
    assert findings
    assert {"name", "level", "value"} <= set(findings[0])


def test_the_schema_is_written_where_it_is_asked_for(harness_cli, tmp_path):
    code, out, _ = harness_cli("schema", "s.json")
    assert (code, out) == (0, "s.json\n")
    assert (tmp_path / "s.json").read_bytes() == (ROOT / "suites" / "suite.schema.json").read_bytes()
    code, _, err = harness_cli("schema", "none/s.json")
    assert code == 2
    assert err == "error: cannot write none/s.json: No such file or directory\n"
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((tmp_path / "pipe").read_bytes)
        assert harness_cli("schema", "pipe")[0] == 0
        assert read.result() == (tmp_path / "s.json").read_bytes()
    assert (tmp_path / "pipe").is_fifo()  # a device or a pipe is not replaced by a file
    assert harness_cli("schema", "") == (2, "", "error: cannot write .: Is a directory\n")


def test_training_an_unknown_model_names_the_nearest(harness_cli):
    code, _, err = harness_cli("train", "mnist-mpl")
    assert code == 2
    assert err.startswith("error: unknown model 'mnist-mpl'; did you mean 'mnist-mlp'? Known: ")


def test_a_report_without_runs_says_how_to_make_one(harness_cli):
    code, _, err = harness_cli("report", "digits")
    assert code == 2
    assert (
        err
        == "error: there is no Run of 'digits' below results: make one with: harness run suites/digits.yaml\n"
    )


def test_a_report_of_a_suite_without_runs_names_those_that_have_some(harness_cli, tmp_path):
    for suite in ("digits", "qat"):
        (tmp_path / "results" / suite).mkdir(parents=True)
    hint = "did you mean 'digits'? There are Runs of: digits, qat"
    says = f"error: there is no Run of 'digit' below results: {hint}\n"
    for arguments in (
        ["report", "digit"],
        ["export", "digit", "--format", "csv"],
        ["explain", "a/b", "digit"],
    ):
        assert harness_cli(*arguments) == (2, "", says)


def test_an_interrupt_ends_with_130_and_no_traceback(harness_cli, monkeypatch):
    import harness.commands.list

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(harness.commands.list.KINDS, "models", interrupt)
    assert harness_cli("list")[0] == 130
