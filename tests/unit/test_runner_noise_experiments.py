"""Noise experiments, with workers that only pretend: which arm is slow, what is recorded, which may die."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from suite_texts import NoObserver, content, read

from harness.artifacts.cache import Cache
from harness.errors import WorkerError
from harness.runner.noise_study.experiments import Experiments, arms_for
from harness.runner.noise_study.study import baselines_of, read_experiments
from harness.runner.plan import Place, make_plan
from harness.runner.run.experiment import Experiment
from harness.store.arrays import pack

CALL_NS = 1_000_000


class Fake:
    """A Trial whose calls take 1 ms, and longer by its arm's slow-down; `dies` by arm and step."""

    dies: ClassVar[dict[tuple[str, str], int]] = {}
    messages: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, arm, number, settings, record) -> None:
        self.arm, self.trial, self.record = arm, number, record
        self.rounds, self.timed_s, self.stage = 0, 0.0, "start"
        _, _, name = arm.id.partition("/")
        self.name = name or arm.role
        Fake.messages[self.name] = arm.message(settings.seed, number, settings.timeout)

    def _say(self, event: str, **more: Any) -> None:
        if Fake.dies.get((self.name, event)) == self.trial:
            raise WorkerError("died")
        self.record(event, cell_id=self.arm.id, arm=self.arm.role, trial=self.trial, **more)

    def launch(self) -> None:
        pass

    def wait_ready(self) -> None:
        self._say("ready", import_s=0.1)

    def load(self) -> None:
        self._say("loaded", load_s=0.1, first_call_s=0.1)
        wait_ns = round(CALL_NS * self.arm.slowdown)
        self._say("warm", seconds=0.1, wait_ns=wait_ns)

    def block(self, round_: int, order: int, meanwhile: Callable[[], None]) -> Callable[[], None]:
        meanwhile()
        call_ns = round(CALL_NS * (1 + self.arm.slowdown))
        samples = np.full(10, call_ns, np.int64)
        record = partial(
            self._say,
            "block",
            round=round_,
            order=order,
            start_ns=0,
            duration_ns=10 * call_ns,
            samples=10,
            calls_ns=pack(samples),
            tags=[],
            evidence={},
        )
        self.rounds += 1
        self.timed_s += 10 * call_ns / 1e9
        return record

    def finish(self, *, evaluate: bool) -> None:
        assert not evaluate
        self._say("memory", steady={"peak_rss_bytes": 1000})

    def dismiss(self) -> None: ...

    def close(self) -> None: ...

    def kill(self) -> None: ...

    def fail(self, error: WorkerError) -> None:
        self._say("trial-failed", stage=self.stage, reason=str(error), blocks=self.rounds)


class Bench:
    def __init__(self, folder: Path, **measure: Any) -> None:
        settings = {"trials": 3, "max_time": 0.15, **measure}
        suite = read(folder, content(models={"mlp": {"zoo": "mnist-mlp"}}, baseline="ort", measure=settings))
        place = Place((0, 1), "no GPU", frozenset(), "here")
        self.plan = baselines_of(make_plan(suite, place)).plan
        self.group = self.plan.groups[0].group_id
        artifact = SimpleNamespace(folder=folder, payload_bytes=1000)
        self.events: list[dict[str, Any]] = []
        self.experiment = Experiment(self.plan, Cache(folder), self._record, NoObserver(), folder)
        self.experiment.builds.artifacts = dict.fromkeys(self.plan.jobs, artifact)  # type: ignore[arg-type]
        self.cell = self.plan.groups[0].cells[0]
        effects = arms_for([0.02, 0.5])
        self.made = Experiments(self.experiment, self.cell, effects, suite.spec.measure, start=Fake)

    def _record(self, event: str, **more: Any) -> dict[str, Any]:
        self.events.append({"event": event, **more})
        return self.events[-1]

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]


@pytest.fixture
def bench(tmp_path):
    Fake.dies, Fake.messages = {}, {}
    return Bench(tmp_path)


def test_only_the_slowed_copies_are_told_to_be_slow(bench):
    bench.made.make(0)
    told = {name: message["slowdown"] for name, message in Fake.messages.items()}
    assert told == {
        "baseline": 0.0,
        "control": 0.0,
        "identical": 0.0,
        "2% slower": 0.02,
        "50% slower": 0.5,
    }


def test_no_suite_can_ask_for_a_slow_down(bench):
    assert bench.experiment.arm(bench.cell).message(0, 0, 1.0)["slowdown"] == 0.0


def test_trials_are_recorded_with_what_was_injected_in_them(bench):
    bench.made.make(7)
    assert bench.kinds() == ["noise-trial"] * 3 + ["experiment"]
    (found,) = read_experiments(bench.events, bench.group)
    for name, times in (("identical", 1.0), ("2% slower", 1.02), ("50% slower", 1.5)):
        for trial in range(3):
            ratio = (
                found.timings[name].seconds["7", trial].mean()
                / found.timings["baseline"].seconds["7", trial].mean()
            )
            assert ratio == pytest.approx(times)
    assert all(event["experiment"] == 7 for event in bench.events)
    injected = {"baseline": 0, "control": 0, "identical": 0, "2% slower": 20_000, "50% slower": 500_000}
    assert [event["waits_ns"] for event in bench.events[:-1]] == [injected] * 3
    assert list(found.timed_s.values()) == pytest.approx([0.05] * 3)  # a third of max_time, not the sum


def test_a_planned_number_of_trials_is_kept_to_as_in_a_run(tmp_path):
    Fake.dies, Fake.messages = {}, {}
    bench = Bench(tmp_path, trials="auto", max_time=5.0)
    bench.made.make(0)
    assert bench.events[-1]["trials"] == 5  # the fewest after which a narrow interval ends it


def test_one_that_dies_between_blocks_is_missing_in_that_trial_only(bench):
    Fake.dies = {("2% slower", "memory"): 1}
    bench.made.make(0)
    assert bench.kinds().count("trial-failed") == 1
    (found,) = read_experiments(bench.events, bench.group)
    assert set(found.timings["identical"].seconds) == {("0", 0), ("0", 1), ("0", 2)}
    assert {("0", 0), ("0", 2)} <= set(found.timings["2% slower"].seconds)


@pytest.mark.parametrize("step", ["ready", "loaded"])
def test_one_that_never_times_anything_ends_it_with_the_log_named(bench, step):
    Fake.dies = {("identical", step): 0}
    with pytest.raises(WorkerError, match=r"a worker timed nothing; see .*\.log"):
        bench.made.make(0)
    assert "experiment" not in bench.kinds()
