"""`harness run --time`: what a Run gives up to fit into a time, in which order, and where it ends."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from suite_texts import NoObserver, content, read
from test_runner_plan import PLACE

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import Allotment, Decision, Stop
from harness.runner.plan import Job, Plan, make_plan
from harness.runner.run.builds import OUT_OF_TIME, _Builder
from harness.runner.run.experiment import Experiment
from harness.runner.run.time_budget import DROPPED, TIME_USED, Until, fit, fit_first_trial

ONLINE = {"online": {"scenario": "single-stream"}}
MODELS = {"mlp": {"zoo": "mnist-mlp"}, "cnn": {"zoo": "mnist-cnn"}}


def planned(folder: Path, **measure: Any) -> tuple[Plan, Cache, float]:
    """A Plan of two models, two workloads and three techniques, and its estimate."""
    techniques = {
        "eager": [{"runtime": "torch-eager"}],
        "ort": [{"runtime": "onnxruntime"}],
        "int8": [{"quantize": {"method": "dynamic"}}, {"runtime": "onnxruntime"}],
    }
    suite = read(folder, content(models=MODELS, techniques=techniques, measure=measure))
    plan, cache = make_plan(suite, PLACE), Cache(folder / "cache")
    return plan, cache, sum(plan.estimate_s(cache))


def dropped(plan: Plan) -> list[str]:
    return [planned.cell.name for planned in plan.cells.values() if planned.skip == DROPPED]


def test_what_fits_gives_nothing_up(tmp_path: Path) -> None:
    plan, cache, whole = planned(tmp_path)
    suite, jobs = plan.suite, dict(plan.jobs)
    assert fit(plan, cache, whole) == ""
    assert (plan.suite, plan.jobs, dropped(plan)) == (suite, jobs, [])


def test_first_each_cell_gets_less_time_just_so_much_that_it_fits(tmp_path: Path) -> None:
    plan, cache, whole = planned(tmp_path, max_time="20s")
    assert fit(plan, cache, 0.7 * whole).startswith("to fit into ")
    measure = plan.suite.spec.measure
    assert (measure.trials, dropped(plan)) == ("auto", [])
    assert 3.0 < measure.max_time < 20.0
    assert sum(plan.estimate_s(cache)) == pytest.approx(0.7 * whole)


def test_then_only_three_trials_and_then_the_last_cells_go_and_a_baseline_with_its_group_only(
    tmp_path: Path,
) -> None:
    plan, cache, _ = planned(tmp_path, max_time="20s")
    shortest, _, _ = planned(tmp_path, max_time="3s", trials=3)
    least = sum(shortest.estimate_s(cache))
    said = fit(plan, cache, least)
    assert said.endswith("the Run gives up: max_time 20 s → 3.0 s, trials auto → 3")
    assert sum(plan.estimate_s(cache)) == pytest.approx(least)

    plan, *_ = planned(tmp_path, max_time="20s")
    assert fit(plan, cache, 0.75 * least).endswith(f"trials auto → 3, {len(dropped(plan))} Cells")
    assert sum(plan.estimate_s(cache)) <= 0.75 * least
    last = "cnn / {} / bulk / cpu"
    assert dropped(plan)[-3:] == [last.format(name) for name in ("eager", "ort", "int8")]
    assert dropped(plan) == [planned.cell.name for planned in plan.cells.values()][-len(dropped(plan)) :]
    left = {planned.cell.group_id for planned in plan.cells.values() if planned.skip is None}
    for group in (group for group in plan.groups if group.group_id in left):
        runnable = [planned.cell for planned in plan.runnable(group)]
        assert runnable[0] == group.baseline
        assert len(runnable) > 1
    kept = {job.key for p in plan.cells.values() if p.skip is None for job in p.jobs}
    assert set(plan.jobs) == kept | set(plan.data_keys.values())


def test_where_nothing_fits_one_comparison_stays_and_a_suite_of_less_keeps_its_own(tmp_path: Path) -> None:
    plan, cache, _ = planned(tmp_path, max_time="1s", trials=2)
    assert fit(plan, cache, 1.0) == "to fit into 1.0 s (--time), the Run gives up: 10 Cells"
    left = [planned.cell.name for planned in plan.cells.values() if planned.skip is None]
    assert left == ["mlp / eager / online / cpu", "mlp / ort / online / cpu"]
    assert (plan.suite.spec.measure.max_time, plan.suite.spec.measure.trials) == (1.0, 2)


def test_no_trial_begins_after_the_deadline(tmp_path: Path) -> None:
    key = ("a", "subject")

    class Always:
        def decide(self, *_: Any) -> Decision:
            return Decision({key: Allotment(3, 1.0)}, (Stop(("b", "subject"), "done"),), 7)

    history = Measurements("s")
    now = time.monotonic()
    assert Until(Always(), now + 1000).decide(history, [key], None) == Always().decide()
    rule = Until(Always(), now)
    assert not rule.ended
    late = rule.decide(history, [key], None)
    assert late == Decision({}, (Stop(("b", "subject"), "done"), Stop(key, TIME_USED)), 0)
    assert rule.ended  # though the arm had no Trial, so that no event says it


def test_where_an_answer_is_asked_for_the_first_trial_compares_even_after_the_deadline() -> None:
    base, control = ("b", "baseline"), ("b", "control")
    first, second = ("x", "subject"), ("y", "subject")
    keys = [base, control, first, second]
    allotments = {key: Allotment(3, 1.0) for key in keys}

    class Always:
        def decide(self, *_: Any) -> Decision:
            return Decision(dict(allotments), (), 7)

    history = Measurements("s")
    rule = Until(Always(), time.monotonic(), answers=True)
    kept = {key: allotments[key] for key in (base, control, first)}
    assert rule.decide(history, keys, base) == Decision(kept, (Stop(second, TIME_USED),), 7)
    assert rule.ended
    history.finished = 1
    assert rule.decide(history, keys, base).allotments == {}


def test_all_evaluations_together_get_a_share_of_the_time(tmp_path: Path) -> None:
    plan, cache, _ = planned(tmp_path)
    fit_first_trial(plan, cache, 6000.0)
    assert plan.suite.spec.quality.time == pytest.approx(0.25 * 6000.0 / len(plan.cells))
    fit_first_trial(plan, cache, 60000.0)  # never more than what it is already
    assert plan.suite.spec.quality.time == pytest.approx(0.25 * 6000.0 / len(plan.cells))


def test_for_a_first_trial_only_cells_are_given_up_and_all_else_stays_as_asked(tmp_path: Path) -> None:
    plan, cache, _ = planned(tmp_path, max_time="20s")
    measure = plan.suite.spec.measure
    assert fit_first_trial(plan, cache, 600.0) == ""
    assert (dropped(plan), plan.suite.spec.measure) == ([], measure)
    said = fit_first_trial(plan, cache, 40.0)
    assert said == f"to fit into 40 s (--time), the Run gives up: {len(dropped(plan))} Cells"
    assert 0 < len(dropped(plan)) < len(plan.cells)
    assert plan.suite.spec.measure == measure


def test_after_its_time_only_what_the_baseline_needs_is_built(tmp_path: Path) -> None:
    suite = read(tmp_path, content(models={"cnn": {"zoo": "mnist-cnn"}}, workloads=ONLINE, baseline="ort"))
    plan, built = make_plan(suite, PLACE), []

    class Building(_Builder):
        def build(self, job: Job, left_s: float) -> Artifact:
            built.append((job.title, left_s))
            return Artifact(job.key, "onnx", tmp_path, 0, (), {}, "", None)

    events: list[dict[str, Any]] = []

    def record(event: str, **content: Any) -> dict[str, Any]:
        events.append({"event": event, **content})
        return events[-1]

    experiment = Experiment(plan, Cache(tmp_path / "cache"), record, NoObserver(), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.runner.run.builds._Builder", Building)
        experiment.build_until(time.monotonic() - 1.0)
    assert [title for title, _ in built] == [
        "cnn: the model itself",
        "cnn: evaluation data",
        "cnn: export-onnx",
    ]
    assert {left_s for _, left_s in built} == {math.inf}
    failed = {cell.cell.pipeline.name: experiment.failure(cell) for cell in plan.cells.values()}
    assert (failed["ort"], failed["eager"]) == (None, None)  # eager needs no build of its own
    assert failed["int8"] == (f"cnn: quantize/static: {OUT_OF_TIME}", f"build-{_last(plan)}.log")


def _last(plan: Plan) -> str:
    return next(p.artifact_key for p in plan.cells.values() if p.cell.pipeline.name == "int8")
