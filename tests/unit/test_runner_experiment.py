"""An experiment that grows: a Cell is planned, built and measured after others were."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suite_texts import NoObserver, content, read
from test_runner_noise_experiments import Fake

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.errors import WorkerError
from harness.runner.experiment.measurements import ratio
from harness.runner.experiment.stopping_rule import stopping_rule
from harness.runner.experiment.trial import Trial
from harness.runner.plan import Place, Plan, make_plan
from harness.runner.run import builds
from harness.runner.run.experiment import Experiment
from harness.suite.matrix import Cell
from harness.suite.validation import CheckedSuite

MLP = {"models": {"mlp": {"zoo": "mnist-mlp"}}, "workloads": {"online": {"scenario": "single-stream"}}}
PLACE = Place((0, 1), "no GPU", frozenset(), "here")


class FakeBuilder:
    """A build worker that pretends; it builds what is asked, or fails for a step by name."""

    built: list[str]
    fails: str

    def __init__(self, _plan: Plan, _cache: Cache, logs: Path) -> None:
        self.folder = logs

    def close(self) -> None: ...

    def build(self, job: Any, _left_s: float) -> Artifact:
        FakeBuilder.built.append(job.title)
        if FakeBuilder.fails and FakeBuilder.fails in job.title:
            raise WorkerError("no room")
        return Artifact(job.key, "onnx", self.folder, 1000)

    def keep_log(self, _job: Any) -> str:
        return "build.log"


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Cell], CheckedSuite]:
    """The Cells of one Group, and their suite; builds and workers pretend."""
    monkeypatch.setattr(builds, "_Builder", FakeBuilder)
    FakeBuilder.built, FakeBuilder.fails = [], ""
    Fake.dies, Fake.messages = {}, {}
    settings = {"trials": 2, "max_time": 0.1}
    suite = read(tmp_path, content(**MLP, baseline="ort", measure=settings))
    return list(make_plan(suite, PLACE).groups[0].cells), suite


def experiment(tmp_path: Path, plan: Plan, events: list[dict[str, Any]]) -> Experiment:
    def record(event: str, **about: Any) -> dict[str, Any]:
        events.append({"event": event, **about})
        return events[-1]

    return Experiment(plan, Cache(tmp_path / "cache"), record, NoObserver(), tmp_path)


def test_a_cell_is_added_built_and_measured_after_others(tmp_path: Path, cells: Any) -> None:
    (eager, ort, _), suite = cells
    events: list[dict[str, Any]] = []
    made = experiment(tmp_path, Plan(suite, PLACE), events)
    rule = stopping_rule(suite.spec.measure)
    sitting = made.sitting("growing", evaluate=False, start=Fake)

    made.plan.add(ort)
    made.build([ort])
    baseline = [made.arm(ort, "baseline"), made.arm(ort, "control")]
    sitting.measure(baseline, rule)
    first = list(FakeBuilder.built)
    assert len(first) == 3  # the model, its evaluation data, its export

    made.plan.add(eager)
    made.build([eager])
    assert FakeBuilder.built == first  # what is there already is not built again
    slow = made.arm(eager, slowdown=0.25)
    measured = sitting.measure([*baseline, slow], rule)
    assert measured.arm(slow.key).finished == 2
    assert measured.finished == 4
    assert ratio(measured, baseline[0].key, slow.key).estimate == pytest.approx(0.8)
    assert [event["event"] for event in events].count("built") == 3


def test_a_cell_that_cannot_be_built_says_why_and_is_not_tried_again(tmp_path: Path, cells: Any) -> None:
    (_, ort, int8), suite = cells
    made = experiment(tmp_path, Plan(suite, PLACE), [])
    FakeBuilder.fails = "quantize"
    planned = [made.plan.add(cell) for cell in (ort, int8)]
    made.build()
    assert made.failure(planned[0]) is None
    reason, log = made.failure(planned[1]) or ("", "")
    assert (reason, log) == ("mlp: quantize/static: no room", "build.log")
    tried = len(FakeBuilder.built)
    made.build([int8])
    assert len(FakeBuilder.built) == tried
    (group,) = made.plan.groups
    assert [arm.id for arm in made.arms(group)] == [ort.cell_id]


def test_a_groups_arms_are_the_baseline_its_control_and_the_other_cells(tmp_path: Path, cells: Any) -> None:
    (eager, ort, int8), suite = cells
    plan = make_plan(suite, PLACE)
    made = experiment(tmp_path, plan, [])
    assert made.arms(plan.groups[0]) == []  # nothing is built yet
    made.build()
    arms = made.arms(plan.groups[0])
    assert [arm.key for arm in arms] == [
        (ort.cell_id, "baseline"),
        (ort.cell_id, "control"),
        (eager.cell_id, "subject"),
        (int8.cell_id, "subject"),
    ]
    assert arms[1].title == f"{ort.name} (control)"
    assert arms[0].code.search_path == (str(tmp_path), str(Path.cwd()))
    assert arms[0].code.worktree is None


def test_a_cell_that_cannot_run_here_is_added_with_its_reason_and_nothing_is_built(
    tmp_path: Path, cells: Any
) -> None:
    (eager, *_), suite = cells
    made = experiment(tmp_path, Plan(suite, Place((), "no GPU", frozenset(), "here")), [])
    assert "wants 1 thread" in (made.plan.add(eager).skip or "")
    made.build([eager])
    assert FakeBuilder.built == []
    assert made.arms(made.plan.groups[0]) == []


def test_a_worker_is_paused_after_each_answer_and_works_on_with_the_next_command() -> None:
    calls: list[Any] = []
    worker = SimpleNamespace(
        send=lambda command, **_: calls.append(command),
        expect=lambda event, _: {"event": event, "duration_ns": 1},
        pause=lambda: calls.append("pause"),
    )
    arm, settings = SimpleNamespace(id="c", role="subject"), SimpleNamespace(timeout=1.0, block_time=0.1)
    trial = Trial(arm, 0, settings, lambda *_, **__: None)  # type: ignore[arg-type]
    trial._started = worker  # type: ignore[assignment]
    for number in range(2):
        trial.block(number, number, lambda: calls.append("meanwhile"))
    assert calls == ["block", "meanwhile", "pause"] * 2
