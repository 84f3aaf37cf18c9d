"""`harness noise` refuses what makes no experiment, with one clear error, before anything is measured."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from suite_texts import NoObserver, content, write

import harness.cli
from harness.analysis.noise_study.power import Experiment, summarize
from harness.artifacts.cache import Cache
from harness.commands.noise import _show, read_effects
from harness.console import Terminal
from harness.errors import HarnessError, StoreError
from harness.runner.noise_study.experiments import arms_for
from harness.runner.noise_study.study import NoiseRun, baselines_of, read_experiments
from harness.runner.plan import Place, make_plan
from harness.runner.run.run import plan_here
from harness.store.journal import FILE
from harness.suite.validation import read_suite


@pytest.fixture
def noise(monkeypatch, capsys, tmp_path):
    """Return a function that runs `harness noise …` in an empty folder: status, and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["harness", "noise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            harness.cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert not (tmp_path / "noise").exists()
        return int(caught.value.code or 0), out + err

    return run


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--experiments", "0"], "'--experiments': Input should be greater than or equal to 1"),
        (["--trials", "1"], "'--trials': Input should be greater than or equal to 2"),
        (["--effects", "0%"], "--effects: 0% is not a slow-down; allowed: above 0% and up to 100%"),
        (["--effects", "1%,-2%"], "--effects: '-2%' is not a share"),
        (["--effects", "0.02,-0.02"], "--effects"),
        (["--effects", "200%"], "--effects: 200% is not a slow-down"),
        (["--effects", ""], "--effects: '' is not a share"),
        (["--effects", "nan"], "--effects"),
        (["--seconds", "0"], "--seconds: 0 is not above 0 and finite"),
        (["--seconds", "1e999s"], "--seconds: 1e999s is not above 0 and finite"),
        (["--seconds", "-3s"], "--seconds: '-3s' is not a duration"),
        (["--seconds", "soon"], "--seconds: 'soon' is not a duration"),
    ],
)
def test_bad_options_are_usage_errors(noise, tmp_path, options, says):
    code, printed = noise(write(tmp_path, content()), *options)
    assert code == 2
    assert says in printed


def test_an_unknown_suite_is_named(noise):
    code, printed = noise("nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in printed


def test_a_suite_without_a_baseline_that_can_run_says_why(noise, tmp_path):
    sections = {
        "hardware": {"many": {"threads": 4096}, "cpu": {"threads": 1}},
        "exclude": [{"technique": "eager", "hardware": "cpu"}],
    }
    code, printed = noise(write(tmp_path, content(**sections)))
    assert code == 5
    assert "mlp / online / many is left out: wants 4,096 threads" in printed
    assert "mlp / online / cpu is left out: its baseline is excluded" in printed
    assert "no Group of this suite has a baseline that can run here" in printed


def test_shares_are_read_in_the_ways_of_a_suite():
    assert read_effects("5%, 1%,2%,1%") == [0.01, 0.02, 0.05]
    assert read_effects("100%") == [1.0]
    with pytest.raises(HarnessError, match="'five' is not a share"):
        read_effects("five")


def test_candidates_are_an_identical_copy_and_one_for_each_slow_down():
    assert arms_for([0.01, 0.025]) == {"identical": 0.0, "1% slower": 0.01, "2.5% slower": 0.025}


# ------------------------------------------------------------------ the Plan of baselines


def planned(tmp_path, **sections):
    plan, machine = plan_here(read_suite(write(tmp_path, content(**sections))))
    return baselines_of(plan), machine


def test_only_baselines_are_built_and_measured(tmp_path):
    found, _ = planned(tmp_path, baseline="ort", models={"mlp": {"zoo": "mnist-mlp"}})
    assert [p.cell.pipeline.name for p in found.cells.values()] == ["ort", "ort"]
    assert {job.stage.step.name for job in found.plan.jobs.values() if job.stage} == {"export-onnx"}
    assert {job.kind for job in found.plan.jobs.values()} == {"source", "data", "step"}
    assert found.skipped == {}


def test_replicas_cannot_be_slowed_down_and_are_left_out(tmp_path):
    techniques = {"two": [{"runtime": "onnxruntime"}, {"replicate": {"replicas": 2}}]}
    suite = read_suite(write(tmp_path, content(techniques=techniques, hardware={"cpu": {"threads": 2}})))
    found = baselines_of(make_plan(suite, Place((0, 1), "no GPU", frozenset(), "here")))
    assert found.cells == {}
    assert found.skipped["mlp / bulk / cpu"] == "a slow-down cannot be injected into replicas"
    assert found.skipped["mlp / online / cpu"] == "replicate works only in the scenario offline"


def test_a_server_is_left_out_since_its_queue_makes_more_of_a_slow_down(tmp_path):
    workloads = {"busy": {"scenario": "server", "qps": 100}, "online": {"scenario": "single-stream"}}
    found, _ = planned(tmp_path, baseline="ort", models={"mlp": {"zoo": "mnist-mlp"}}, workloads=workloads)
    assert [p.cell.workload_name for p in found.cells.values()] == ["online"]
    assert "in server a call that takes 1 % longer" in found.skipped["mlp / busy / cpu"]


# ------------------------------------------------------------------ the folder


def journal(folder, *events):
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text("".join(json.dumps(event) + "\n" for event in events))


def noise_run(tmp_path, effects=(0.02,)):
    found, machine = planned(tmp_path, baseline="ort", models={"mlp": {"zoo": "mnist-mlp"}})
    measure = found.plan.suite.spec.measure
    return NoiseRun(
        found, machine, measure, arms_for(effects), tmp_path / "out", Cache(tmp_path / "cache"), NoObserver()
    )


def test_experiments_of_other_settings_are_not_pooled(tmp_path):
    settings = noise_run(tmp_path)._settings()
    journal(tmp_path / "out", {"event": "noise", "settings": settings})
    noise_run(tmp_path)  # the same
    with pytest.raises(HarnessError, match="another effects, which cannot be pooled with these"):
        noise_run(tmp_path, effects=(0.02, 0.05))


def test_a_folder_of_something_else_is_refused(tmp_path):
    journal(tmp_path / "out", {"event": "run", "info": {}})
    with pytest.raises(StoreError, match="another kind of journal"):
        noise_run(tmp_path)


def trial(experiment, number, value, group="g"):
    arms = {"baseline": [[0, 1], [value, value]], "control": [[0, 1], [value, value]]}
    times = {"timed_s": {"baseline": 1.5, "control": 1.4}, "wall_s": 9.0}
    return {
        "event": "noise-trial",
        "group_id": group,
        "experiment": experiment,
        "trial": number,
        "arms": arms,
        **times,
    }


def done(experiment, group="g"):
    return {"event": "experiment", "group_id": group, "experiment": experiment}


def test_whole_experiments_are_read_and_one_begun_twice_counts_once():
    events = [
        *[trial(0, 0, 1.0), trial(0, 1, 1.0), done(0)],
        *[trial(1, 0, 7.0), trial(1, 1, 7.0), trial(1, 2, 7.0)],  # cut short here, made anew:
        *[trial(1, 0, 2.0), trial(0, 0, 5.0, group="other"), trial(1, 1, 2.0), done(1)],
        trial(2, 0, 3.0),
    ]
    first, second = read_experiments(events, "g")
    assert set(first.timings["baseline"].seconds) == {("0", 0), ("0", 1)}
    assert set(second.timings["control"].seconds) == {("1", 0), ("1", 1)}
    assert second.timings["control"].seconds["1", 1].tolist() == [2.0, 2.0]
    assert second.timed_s == {("1", 0): 1.5, ("1", 1): 1.5}
    assert second.wall_s == {("1", 0): 9.0, ("1", 1): 9.0}


def test_the_estimate_stands_apart_from_the_counts_and_says_how_far_experiments_differ(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    made = []
    for spread in (0.001, 0.03):
        rng, one = np.random.default_rng(1), Experiment()
        for number in range(6):
            arms = {
                name: (range(4), np.exp(spread * rng.standard_normal(4))) for name in ("baseline", "control")
            }
            arms |= {name: (range(4), np.exp(spread * rng.standard_normal(4))) for name in arms_for([0.02])}
            one.add(("s", number), arms, timed_s=1.0, wall_s=2.0)
        made.append(one)
    for fixed in (True, False):
        _show({"ours": (2, summarize(made, arms_for([0.02]), 0.02, fixed=fixed))}, Terminal())
        out = capsys.readouterr().out
        assert ("ours: estimate" in out, "An estimate of many comparisons needs" in out) == (fixed, not fixed)
    estimate = summarize(made, arms_for([0.02]), 0.02)[-1].relabel
    low, high = next((one.low, one.high) for one in estimate.called if one.effect == 0.02)
    assert low < 0.5 < high
    _show({"ours": (2, summarize(made, arms_for([0.02]), 0.02))}, Terminal())
    assert f"({100 * low:.3g}–{100 * high:.3g})" in capsys.readouterr().out
