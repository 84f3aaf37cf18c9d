"""Sittings, with Trials that only pretend: which arm runs when, which is left out, which one is evaluated."""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from suite_texts import NoObserver

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError, StoreError, WorkerError
from harness.formats.target import Target
from harness.runner.experiment import parts
from harness.runner.experiment.measurements import Measurements, ratio
from harness.runner.experiment.sitting import MIN_ROUNDS, Sitting
from harness.runner.experiment.stopping_rule import Allotment, stopping_rule
from harness.runner.experiment.trial import Arm, Trial
from harness.runner.workers.launch import Code
from harness.store.arrays import pack
from harness.suite.schema import Measure


@dataclass
class World:
    """What happens to all Trials, in order; at most one may run at a time."""

    happened: list[tuple[str, str]] = field(default_factory=list)
    blocks: list[tuple[int, str, int]] = field(default_factory=list)
    busy: str | None = None


class Fake:
    """A Trial that pretends; `dies` names the step it fails in (a Block by its number: ``block 2``)."""

    def __init__(
        self,
        world: World,
        arm: Arm,
        number: int,
        record: Callable[..., Any],
        block_s: float = 0.05,
        dies: str = "",
        times: int = 10**6,
        error: BaseException | None = None,
    ) -> None:
        self.world, self.arm, self.block_s, self.dies = world, arm, block_s, dies
        self.record = partial(record, cell_id=arm.id, arm=arm.role, trial=number)
        self.error = error or WorkerError("died")
        self.times = times
        self.rounds, self.timed_s, self.stage = 0, 0.0, "start"
        self.ended = ""

    def _happen(self, what: str) -> None:
        assert self.world.busy is None, f"{self.world.busy} is running"
        self.world.happened.append((what, title(self.arm)))
        if what == self.dies and self.world.happened.count((what, title(self.arm))) <= self.times:
            raise self.error

    def launch(self) -> None:
        self._happen("start")

    def wait_ready(self) -> None:
        self._happen("ready")

    def load(self) -> None:
        self.stage = "load"
        self._happen("load")
        self.record("ready", import_s=0.0)
        self.stage = "measure"

    def block(self, round_: int, order: int, meanwhile: Callable[[], None]) -> Callable[[], None]:
        self.world.happened.append(("wake", title(self.arm)))
        meanwhile()
        self._happen(f"block {self.rounds}")
        self.world.blocks.append((round_, title(self.arm), order))
        self.rounds += 1
        self.timed_s += self.block_s
        call_ns = round(self.block_s * 1e9)
        about = {"round": round_, "order": order, "start_ns": 0, "duration_ns": call_ns, "samples": 1}
        calls_ns = pack(np.array([call_ns]))

        def record() -> None:
            self.world.happened.append(("record", title(self.arm)))
            self.record("block", **about, calls_ns=calls_ns, tags=[], evidence={})

        return record

    def finish(self, *, evaluate: bool) -> None:
        self._happen("evaluation" if evaluate else "finish")
        if evaluate:
            self.record("evaluation")

    def dismiss(self) -> None:
        self._happen("dismiss")

    def close(self) -> None:
        self._happen("close")
        self.ended = "closed"

    def fail(self, error: WorkerError) -> None:
        self.ended = "failed"
        self.record("trial-failed", blocks=self.rounds)

    def kill(self) -> None:
        self.ended = "killed"


def title(arm: Arm) -> str:
    return arm.id if arm.role != "control" else "control"


def arms(*names: str) -> list[Arm]:
    """`names` of Cells; base is the baseline, control its copy."""
    here = Path("nowhere")
    made = []
    for name in names:
        role = {"base": "baseline", "control": "control"}.get(name, "subject")
        cell_id = "base" if name == "control" else name
        content = (Code(), Artifact("k", "onnx", here), here, here, Target(1), {"scenario": "single-stream"})
        made.append(Arm(cell_id, role, name, *content, runtime=("fake", {})))  # type: ignore[arg-type]
    return made


class Bench:
    def __init__(self, cores: int = 2, key: str = "g", **measure: Any) -> None:
        self.world = World()
        self.made: list[Fake] = []
        self.about: dict[str, dict[str, Any]] = {}
        self.allotments: dict[str, Allotment] = {}
        self.events: list[dict[str, Any]] = []
        settings = Measure(**{"max_time": 0.4, "trials": 2, **measure})
        self.allotment = Allotment(math.inf, settings.max_time / settings.trials)  # type: ignore[operator]
        self.sitting = Sitting(key, settings, self._record, NoObserver(), cores=cores, start=self._start)  # type: ignore[arg-type]

    def _start(self, arm: Arm, number: int, _settings: Measure, record: Callable[..., Any]) -> Fake:
        one = Fake(self.world, arm, number, record, **self.about.get(title(arm), {}))
        self.made.append(one)
        return one

    def _record(self, event: str, **content: Any) -> dict[str, Any]:
        self.events.append({"event": event, **content})
        return self.events[-1]

    @property
    def measurements(self) -> Measurements:
        return self.sitting.measurements

    def trial(self, *names: str, number: int = 0) -> None:
        made = self.sitting.start_order(arms(*names), number)
        self.sitting._record("trial-start", trial=number, arms=[arm.key for arm in made])
        allotments = {arm.key: self.allotments.get(title(arm), self.allotment) for arm in made}
        self.sitting.run_trial(made, number, allotments)

    def recorded(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events)

    def rounds(self) -> dict[int, list[str]]:
        """Who ran in each round, in order."""
        found: dict[int, list[str]] = {}
        for round_, who, _ in self.world.blocks:
            found.setdefault(round_, []).append(who)
        return found

    def ended(self) -> dict[str, str]:
        return {title(one.arm): one.ended for one in self.made}

    def did(self, what: str) -> list[str]:
        return [who for event, who in self.world.happened if event == what]


NAMES = ("base", "control", "a", "b", "c", "d")


def test_each_round_has_each_arm_once_and_all_end_well() -> None:
    bench = Bench()
    bench.trial(*NAMES)
    assert len(bench.rounds()) == 4  # 0.2 s a Trial in Blocks of 0.05 s
    assert all(sorted(who) == sorted(NAMES) for who in bench.rounds().values())
    assert set(bench.ended().values()) == {"closed"}


def test_blocks_are_numbered_through() -> None:
    bench = Bench()
    bench.trial(*NAMES)
    bench.trial(*NAMES, number=1)
    assert [order for _, _, order in bench.world.blocks] == list(range(48))


def test_order_differs_between_rounds_and_trials_and_follows_from_the_seed() -> None:
    def orders(seed: int, number: int) -> list[tuple[str, ...]]:
        bench = Bench(seed=seed)
        bench.trial(*NAMES, number=number)
        return [tuple(bench.did("start")), *(tuple(who) for who in bench.rounds().values())]

    assert orders(0, 0) == orders(0, 0)
    assert len({*orders(0, 0), *orders(0, 1), *orders(1, 0)}) == 15


def test_who_starts_first_is_balanced_and_another_in_each_run() -> None:
    def starts(key: str) -> list[list[str]]:
        bench = Bench(key=key)
        for number in range(4):
            bench.trial(*NAMES, number=number)
        return np.reshape(bench.did("start"), (4, len(NAMES))).tolist()

    first, second, third, fourth = starts("run")
    assert second == first[::-1]
    assert fourth == third[::-1] != second
    assert first != starts("other")[0]


def test_each_starts_first_equally_often_where_memory_splits_the_arms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = 3.5 * arms("a")[0].expected_bytes / parts.MEMORY_SHARE
    monkeypatch.setattr(parts, "free_memory_bytes", lambda host: free)
    bench = Bench(trials=4)
    rule = stopping_rule(Measure(trials=4, max_time=0.4))
    bench.sitting.measure(arms("base", "control", "a", "b"), rule)
    orders = np.reshape(bench.did("start"), (8, 3)).tolist()
    assert [bench.sitting.measurements.start_orders[number][0][0] for number in range(8)] == [
        {"control": "base"}.get(order[0], order[0]) for order in orders
    ]
    for subject in ("a", "b"):
        mine = [order for order in orders if subject in order]
        assert len(mine) == 4
        assert sum(order.index("base") < order.index(subject) for order in mine) == 2
    assert sum(order.index("base") < order.index("control") for order in orders) == 4


def test_a_resumed_sitting_continues_the_balance_of_the_start_orders() -> None:
    whole, again = Bench(), Bench()
    for number in range(2):
        whole.trial(*NAMES, number=number)
    again.trial(*NAMES)
    again.sitting.measurements = Measurements("g", json.loads(json.dumps(again.events)))
    again.trial(*NAMES, number=1)
    assert again.did("start") == whole.did("start")


def test_a_process_that_cannot_be_started_is_one_arms_failure_and_not_the_runs() -> None:
    bench = Bench()
    bench.about = {"b": {"dies": "start"}}
    bench.trial(*NAMES)
    assert bench.ended() == {**dict.fromkeys(NAMES, "closed"), "b": "failed"}
    assert bench.measurements.failed == {"b"}


def test_a_cell_that_was_timed_before_is_not_given_up_for_one_bad_start() -> None:
    bench = Bench()
    bench.trial(*NAMES)
    bench.about = {"base": {"dies": "load"}}
    bench.trial(*NAMES, number=1)
    assert bench.measurements.failed == set()


def test_all_are_loaded_before_any_is_timed_and_all_timed_before_any_is_evaluated() -> None:
    bench = Bench()
    bench.trial(*NAMES)
    kinds = [what.split()[0] for what, _ in bench.world.happened]
    assert kinds.index("block") > max(i for i, kind in enumerate(kinds) if kind in ("start", "ready", "load"))
    last_block = max(i for i, kind in enumerate(kinds) if kind == "block")
    assert last_block < min(i for i, kind in enumerate(kinds) if kind in ("evaluation", "finish"))


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 2), (64, 2)])
def test_only_a_few_import_at_a_time(cores: int, most: int) -> None:
    bench = Bench(cores=cores)
    bench.trial(*NAMES)
    waiting = peak = 0
    for what, _ in bench.world.happened:
        waiting += {"start": 1, "ready": -1}.get(what, 0)
        peak = max(peak, waiting)
    assert peak == most
    assert sorted(bench.did("ready")) == sorted(NAMES)


@pytest.mark.parametrize("step", ["ready", "load", "block 0", "block 1", "evaluation"])
def test_one_that_dies_is_left_out_and_the_others_go_on(step: str) -> None:
    bench = Bench()
    bench.about["b"] = {"dies": step}
    bench.trial(*NAMES)
    ended = bench.ended()
    assert ended.pop("b") == "failed"
    assert set(ended.values()) == {"closed"}
    others = [[who for who in round_ if who != "b"] for round_ in bench.rounds().values()]
    assert all(len(round_) == 5 for round_ in others)
    assert len(others) == 4
    assert "b" not in bench.measurements.evaluated


@pytest.mark.parametrize(
    ("step", "again"),
    [("ready", False), ("load", False), ("block 0", False), ("block 1", True), ("evaluation", True)],
)
def test_one_that_never_timed_a_block_is_not_started_again(step: str, again: bool) -> None:
    bench = Bench()
    bench.about["b"] = {"dies": step}
    bench.trial(*NAMES)
    assert bench.measurements.failed == (set() if again else {"b"})


@pytest.mark.parametrize("who", ["base", "control"])
@pytest.mark.parametrize("step", ["start", "ready", "load", "block 0"])
def test_a_baseline_or_control_that_fails_once_before_its_first_block_starts_once_more(
    who: str, step: str
) -> None:
    bench = Bench()
    bench.about[who] = {"dies": step, "times": 1}
    made = bench.sitting.measure(arms("base", "control", "a"), stopping_rule(Measure(trials=2, max_time=0.4)))
    assert [one["event"] for one in bench.events if "again" in one["event"] or "failed" in one["event"]] == [
        "trial-failed", "trial-again",
    ]  # fmt: skip
    for other in (("base", "control"), ("a", "subject")):
        assert ratio(made, ("base", "baseline"), other).method == "t over 2 paired Trials"
    assert made.failed == set()
    key = ("base", "baseline" if who == "base" else "control")
    assert (made.arm(key).failures, made.arm(key).attempts) == (0, 2)
    assert made.start_orders[0][-1] == key  # it started last in truth, and so comes first the next time
    assert made.start_orders[1][0] == key


def test_of_a_worker_that_was_started_again_only_the_second_start_counts() -> None:
    about = {"sitting": "g", "cell_id": "base", "arm": "baseline", "trial": 0}
    second = [
        {"event": "ready", "import_s": 1.0},
        {"event": "loaded", "load_s": 0.5, "first_call_s": 0.25},
        {"event": "warm", "seconds": 0.25},
    ]
    first = [{"event": "ready", "import_s": 5.0}, {"event": "trial-failed"}, {"event": "trial-again"}]
    arm = Measurements("g", [{**event, **about} for event in (*first, *second)]).arm(("base", "baseline"))
    assert (arm.start_s, arm.attempts, arm.failures) == (2.0, 1, 0)


def test_a_baseline_that_fails_twice_is_left_out_and_the_others_go_on() -> None:
    bench = Bench()
    bench.about["base"] = {"dies": "load"}
    bench.sitting.measure(arms("base", "control", "a"), stopping_rule(Measure(trials=2, max_time=0.4)))
    assert [e["event"] for e in bench.events if e.get("arm") == "baseline"] == [
        "trial-failed", "trial-again", "trial-failed",
    ]  # fmt: skip
    assert bench.measurements.failed == {"base"}
    assert trials(bench) == [["a", "base", "control"], ["a"]]


def test_a_control_is_not_started_again_where_its_baseline_failed_twice() -> None:
    bench = Bench()
    bench.about = {"base": {"dies": "load"}, "control": {"dies": "load"}}
    bench.trial("base", "control", "a")
    assert {who: bench.did("start").count(who) for who in ("base", "control", "a")} == {
        "base": 2, "control": 1, "a": 1,
    }  # fmt: skip


def test_a_baseline_that_timed_a_block_in_this_trial_or_a_subject_is_not_started_again() -> None:
    bench = Bench()
    bench.about = {"base": {"dies": "block 1"}, "a": {"dies": "load"}}
    bench.trial("base", "control", "a", "b")
    assert not [event for event in bench.events if event["event"] == "trial-again"]
    assert sorted(bench.did("start")) == ["a", "b", "base", "control"]


def test_a_control_that_dies_does_not_fail_the_baseline() -> None:
    bench = Bench()
    bench.about["control"] = {"dies": "load"}
    bench.trial(*NAMES)
    assert bench.measurements.failed == set()
    assert bench.ended()["base"] == "closed"


def test_all_may_die() -> None:
    bench = Bench()
    bench.about = {name: {"dies": "load"} for name in NAMES}
    bench.trial(*NAMES)
    assert set(bench.ended().values()) == {"failed"}
    assert bench.rounds() == {}
    assert bench.measurements.failed == {"base", "a", "b", "c", "d"}


def test_blocks_longer_than_the_budget_still_get_their_least_number() -> None:
    bench = Bench(max_time=0.001)
    bench.trial("base", "a")
    assert {who: bench.did(f"block {MIN_ROUNDS - 1}").count(who) for who in ("base", "a")} == {
        "base": 1,
        "a": 1,
    }
    assert len(bench.rounds()) == MIN_ROUNDS


def test_one_with_long_blocks_stops_at_its_budget_and_the_others_go_on() -> None:
    bench = Bench()
    bench.about["a"] = {"block_s": 0.15}
    bench.trial("base", "a", "b")
    counts = {who: sum(who in round_ for round_ in bench.rounds().values()) for who in ("base", "a", "b")}
    assert counts == {"base": 4, "a": 2, "b": 4}


def test_a_block_is_recorded_while_the_next_worker_wakes() -> None:
    bench = Bench(max_time=0.001)
    bench.trial("base", "a")
    happened = [
        (what, who) for what, who in bench.world.happened if what in ("wake", "record") or "block" in what
    ]
    blocks = [who for what, who in happened if "block" in what]
    assert len(blocks) == 2 * MIN_ROUNDS
    for number, who in enumerate(blocks):
        at = [i for i, (what, _) in enumerate(happened) if "block" in what][number]
        after = [("wake", blocks[number + 1])] if number + 1 < len(blocks) else []
        assert happened[at + 1 :][: 1 + len(after)] == [*after, ("record", who)]
    assert bench.events[-1]["event"] != "block"
    assert [event["order"] for event in bench.events if event["event"] == "block"] == [0, 1, 2, 3]


@pytest.mark.parametrize("error", [WorkerError("died"), KeyboardInterrupt()])
def test_a_timed_block_is_recorded_though_the_next_worker_dies_or_the_run_is_interrupted(
    error: BaseException,
) -> None:
    bench = Bench(max_time=0.001)
    bench.about["a"] = {"dies": "block 1", "error": error}
    with contextlib.suppress(KeyboardInterrupt):
        bench.trial("base", "a")
    assert sum(what.startswith("block") for what, _ in bench.world.happened) - 1 == bench.recorded("block")
    kinds = [event["event"] for event in bench.events]
    assert "trial-failed" not in kinds or kinds.index("trial-failed") > kinds.index("block")


def test_an_arm_gets_as_many_blocks_as_its_allotment_says() -> None:
    bench = Bench()
    bench.allotments = {"a": Allotment(3, 60.0), "b": Allotment(1, 60.0)}
    bench.trial("base", "a", "b")
    counts = {who: sum(who in round_ for round_ in bench.rounds().values()) for who in ("base", "a", "b")}
    assert counts == {"base": 4, "a": 3, "b": MIN_ROUNDS}


def test_all_workers_are_told_to_end_before_any_is_waited_for() -> None:
    bench = Bench()
    bench.trial(*NAMES)
    ends = [what for what, _ in bench.world.happened if what in ("dismiss", "close")]
    assert ends == ["dismiss"] * len(NAMES) + ["close"] * len(NAMES)


def test_each_cell_is_evaluated_once_and_the_control_never() -> None:
    bench = Bench()
    for number in range(3):
        bench.trial("base", "control", "a", number=number)
    assert sorted(bench.did("evaluation")) == ["a", "base"]
    assert sorted(bench.did("finish")) == ["a", "a", "base", "base", "control", "control", "control"]


def test_an_evaluation_that_failed_is_made_again() -> None:
    bench = Bench()
    bench.about["a"] = {"dies": "evaluation"}
    bench.trial("base", "a")
    bench.about.clear()
    bench.trial("base", "a", number=1)
    assert bench.did("evaluation").count("a") == 2
    assert bench.measurements.evaluated == {"base", "a"}


@pytest.mark.parametrize("step", ["ready", "load", "block 0", "block 2", "evaluation", "close"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreError("the disk is full")])
def test_when_the_run_ends_early_every_worker_is_ended(step: str, error: BaseException) -> None:
    bench = Bench()
    bench.about["b"] = {"dies": step, "error": error}
    with pytest.raises(type(error)):
        bench.trial(*NAMES)
    assert all(ended in ("killed", "closed") for ended in bench.ended().values())


# ------------------------------------------------------------------ whole sittings


def trials(bench: Bench) -> list[list[str]]:
    """Who took part in each Trial, in order."""
    done = [event for event in bench.events if event["event"] == "trial-done"]
    return [sorted(arm_id if role != "control" else "control" for arm_id, role in e["arms"]) for e in done]


def test_a_sitting_measures_until_the_rule_ends_it_and_records_why() -> None:
    bench = Bench(trials=3)
    made = bench.sitting.measure(arms("base", "control", "a"), stopping_rule(Measure(trials=3, max_time=0.4)))
    assert made is bench.measurements
    assert trials(bench) == [["a", "base", "control"]] * 3
    assert [e["trial"] for e in bench.events if e["event"] == "trial-start"] == [0, 1, 2]
    assert [(e["cell_id"], e["arm"]) for e in bench.events if e["event"] == "stop"] == [
        ("base", "baseline"), ("base", "control"), ("a", "subject"),
    ]  # fmt: skip
    assert all(event["sitting"] == "g" for event in bench.events)


@pytest.mark.parametrize("trials_", [2, "auto"])
def test_an_arm_can_be_added_after_others_were_measured(trials_: Any) -> None:
    bench = Bench()
    bench.about = {"a": {"block_s": 0.025}, "late": {"block_s": 0.1}}
    rule = stopping_rule(Measure(trials=trials_, max_time=1.0))
    bench.sitting.measure(arms("base", "control", "a"), rule)
    before = trials(bench)
    made = bench.sitting.measure(arms("base", "control", "a", "late"), rule)
    after = trials(bench)[len(before) :]
    assert after == [["base", "control", "late"]] * len(before)
    assert made.finished == len(before) * 2
    numbers = [e["trial"] for e in bench.events if e["event"] == "trial-start"]
    assert numbers == list(range(len(numbers)))
    base = ("base", "baseline")
    assert ratio(made, base, ("a", "subject")).estimate == pytest.approx(2.0)
    assert ratio(made, base, ("late", "subject")).estimate == pytest.approx(0.5)
    assert ratio(made, base, ("late", "subject")).trials == len(after)
    assert bench.did("evaluation").count("base") == 1  # once a Cell, not once a call


def test_arms_that_were_not_interleaved_are_not_paired() -> None:
    bench = Bench()
    bench.about = {"b": {"block_s": 0.025}}
    rule = stopping_rule(Measure(trials=2, max_time=0.4))
    bench.sitting.measure(arms("base", "a"), rule)
    made = bench.sitting.measure(arms("base", "b"), rule)
    apart = ratio(made, ("a", "subject"), ("b", "subject"))
    assert apart.method == "Welch t over 2 and 2 Trials"
    assert apart.estimate == pytest.approx(2.0)
    assert ratio(made, ("base", "baseline"), ("b", "subject")).method == "t over 2 paired Trials"
    with pytest.raises(HarnessError):
        ratio(made, ("a", "subject"), ("never measured", "subject"))
    other = Bench(key="another sitting")
    for event in bench.events:
        other.measurements.note(event)
    assert other.measurements.arm(("a", "subject")).blocks == 0


def test_parts_have_trials_of_their_own_and_their_arms_are_not_paired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = 3.5 * arms("a")[0].expected_bytes / parts.MEMORY_SHARE
    monkeypatch.setattr(parts, "free_memory_bytes", lambda host: free)
    bench = Bench()
    made = bench.sitting.measure(
        arms("base", "control", "a", "b"), stopping_rule(Measure(trials=2, max_time=0.4))
    )
    assert trials(bench) == [["a", "base", "control"], ["b", "base", "control"]] * 2
    assert [(e["part"], e["parts"], e["finished"]) for e in bench.events if e["event"] == "trial-done"] == [
        (1, 2, 0), (2, 2, 1), (1, 2, 1), (2, 2, 2),
    ]  # fmt: skip
    assert ratio(made, ("base", "baseline"), ("a", "subject")).trials == 2
    assert ratio(made, ("a", "subject"), ("b", "subject")).method == "Welch t over 2 and 2 Trials"


def test_a_sitting_continues_from_its_events() -> None:
    whole = Bench()
    rule = stopping_rule(Measure(trials=4, max_time=0.4))
    whole.sitting.measure(arms("base", "control", "a"), stopping_rule(Measure(trials=2, max_time=0.4)))
    events = [event for event in whole.events if event["event"] != "stop"]
    again = Bench()
    again.sitting.measurements = Measurements("g", events)
    again.sitting.measure(arms("base", "control", "a"), rule)
    assert [e["trial"] for e in again.events if e["event"] == "trial-start"] == [2, 3]
    assert again.did("evaluation") == []
    assert again.measurements.finished == 4


def test_a_cell_that_failed_is_left_out_for_the_rest_of_the_session() -> None:
    bench = Bench()
    bench.about = {"b": {"dies": "load"}}
    bench.sitting.measure(arms("base", "a", "b"), stopping_rule(Measure(trials=2, max_time=0.4)))
    assert trials(bench) == [["a", "b", "base"], ["a", "base"]]
    assert Measurements("g", bench.events).failed == set()  # the next session tries again


def test_a_worker_that_cannot_be_ended_is_a_notice_of_the_run() -> None:
    recorded: list[tuple[str, dict[str, Any]]] = []
    one = Trial(arms("a")[0], 0, Measure(), lambda event, **content: recorded.append((event, content)))
    one._started = SimpleNamespace(close=lambda: "still there", kill=lambda: "", age_s=3.0)  # type: ignore[assignment]
    one.close()
    one.kill()
    assert [event for event, _ in recorded] == ["notice", "trial-end"]
    assert recorded[0][1] == {"text": "a: still there"}


def test_a_trial_records_meanwhile_and_pauses_its_worker_until_the_next_command() -> None:
    happened: list[str] = []

    def expect(event: str, _timeout_s: float) -> dict[str, Any]:
        happened.append(f"expect {event}")
        return {"event": event, "duration_ns": 20_000_000}

    one = Trial(arms("a")[0], 0, Measure(), lambda event, **content: happened.append(f"record {event}"))
    one._started = SimpleNamespace(  # type: ignore[assignment]
        send=lambda command, **_: happened.append(f"send {command}"),
        expect=expect,
        pause=lambda: happened.append("pause"),
    )
    one.wait_ready()
    record = one.block(3, 7, lambda: happened.append("meanwhile"))
    assert (one.rounds, one.timed_s) == (1, 0.02)
    record()
    assert happened == [
        "expect ready", "record ready",
        "send block", "meanwhile", "expect block", "pause", "record block",
    ]  # fmt: skip
