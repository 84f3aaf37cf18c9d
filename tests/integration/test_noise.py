"""`harness noise` with real workers: what is injected is found, Ctrl-C keeps, the same command goes on."""

import json
import signal
from pathlib import Path

import pytest
from bench import ORT, STEADY, Bench

from harness.analysis.noise_study.power import ALWAYS_ESTIMATED
from harness.store.journal import FILE, Event, read_journal

pytestmark = pytest.mark.slow

MLP = {"mlp": {"zoo": "mnist-mlp"}}
NET = {"net": {"onnx": "my net.onnx"}}
OPTIONS = ("--effects", "100%", "--out", "out")


def trials(bench: Bench) -> list[Event]:
    return [e for e in read_journal(bench.folder / "out") if e["event"] == "noise-trial"]


def test_an_injected_slow_down_is_measured_and_called(bench: Bench, onnx_file: Path) -> None:
    suite = str(bench.suite(NET, ORT, measure=STEADY))
    printed = bench.harness("noise", suite, "--experiments", "2", *OPTIONS)
    bench.assert_all_gone()
    assert "2 experiments" in printed
    assert "estimate" in printed
    made = trials(bench)
    assert len(made) == 4
    names = {"baseline", "control", "identical", "100% slower"}
    assert all(set(event["arms"]) == names for event in made)
    for event in made:
        waits_ns = event["waits_ns"]
        assert {name for name, wait_ns in waits_ns.items() if wait_ns} == {"100% slower"}
        _, seconds = event["arms"]["100% slower"]
        assert min(seconds) > 0.999e-9 * waits_ns["100% slower"]  # however disturbed: each call has waited

    again = bench.harness("noise", suite, "--experiments", "2", *OPTIONS, "--json")
    assert len(trials(bench)) == 4  # nothing was left to measure
    (group,) = json.loads(again)["groups"].values()
    assert group["experiments"] == 2
    assert [one["effect"] for one in group["prefixes"][-1]["relabel"]["called"]] == [0, *ALWAYS_ESTIMATED, 1]
    powers = {power["effect"]: power for power in group["prefixes"][-1]["powers"]}
    assert powers[1.0]["faster"] == 0
    for power in powers.values():  # two experiments, each in six roles
        assert power["roles"] == 6
        assert sum(power[verdict] for verdict in ("slower", "faster", "equivalent", "inconclusive")) == 12


def test_ctrl_c_keeps_whole_experiments_and_the_same_command_goes_on(bench: Bench, onnx_file: Path) -> None:
    suite = str(bench.suite(NET, ORT))
    process = bench.start("noise", suite, "--experiments", "50", *OPTIONS)
    bench.wait_for("experiment", folder=bench.folder / "out")
    process.send_signal(signal.SIGINT)
    code, out, err = bench.end(process)
    assert code == 130, out + err
    bench.assert_all_gone()
    assert "interrupted; complete experiments are kept" in out + err
    assert "MDE" in out  # the report of what there is
    whole = sum(e["event"] == "experiment" for e in read_journal(bench.folder / "out"))
    printed = bench.harness("noise", suite, "--experiments", str(whole + 1), *OPTIONS)
    assert f"{whole + 1} experiments" in printed
    assert (bench.folder / "out" / FILE).is_file()


def test_a_model_that_cannot_be_built_fails_alone(bench: Bench) -> None:
    suite = str(bench.suite({**MLP, "raises": "raises"}, ORT))
    printed = bench.harness("noise", suite, "--experiments", "1", *OPTIONS, code=4)
    assert "the weights are on another disk" in printed
    assert "mlp / ort / one by one / cpu: 1 experiment" in printed
