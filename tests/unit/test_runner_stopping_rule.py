"""When a Group is done: fixed or planned Trials, time, failures; and that a resumed Run goes on alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from harness.analysis.compare.timing import noise_floor
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.stopping_rule import (
    AS_ASKED,
    BASELINE_LOST,
    BASELINE_OUT,
    KEPT_FAILING,
    MAX_FAILURES,
    NOT_NEEDED,
    OUT_OF_STARTS,
    Decision,
    Stop,
    stopping_rule,
)
from harness.runner.experiment.trial import Key
from harness.stats.planning import MIN_TRIALS, PILOT_BLOCKS, WANTED_TRIALS, StopReason
from harness.stats.verdict import Verdict, decide
from harness.store.arrays import pack
from harness.suite.schema import Measure

BASE: Key = ("base", "baseline")
CONTROL: Key = ("base", "control")


class Simulation:
    """A Group whose arms have known speeds and noise; runs what the stopping rule decides until it is done.

    `arms`: seconds of a call. `between` and `within` are relative spreads of Trials and Blocks.
    """

    def __init__(
        self,
        arms: dict[Key, float],
        between: float = 0.002,
        within: float = 0.005,
        start_s: float = 0.5,
        seed: int = 0,
        **measure: object,
    ) -> None:
        self.arms, self.between, self.within, self.start_s = arms, between, within, start_s
        self.measure = Measure(**measure)  # type: ignore[arg-type]
        self.rng = np.random.default_rng(seed)
        self.scenarios = {cell: "single-stream" for cell, _ in arms}
        self.events: list[dict[str, object]] = []
        self.history = Measurements("g")
        self.history.scenarios = self.scenarios
        self.stops: dict[Key, Stop] = {}
        self.dying: set[Key] = set()
        self.number = 0

    def record(self, event: str, key: Key, **content: object) -> None:
        self.keep({"event": event, "cell_id": key[0], "arm": key[1], "trial": self.number, **content})

    def keep(self, event: dict[str, object]) -> None:
        entry = {"sitting": "g", **event}
        self.events.append(entry)
        self.history.note(entry)

    def decide(self) -> Decision:
        baseline = BASE if BASE in self.arms else None
        return stopping_rule(self.measure).decide(self.history, list(self.arms), baseline)

    def trial(self, decision: Decision) -> None:
        number = self.number = self.history.finished
        for key in decision.allotments:
            self.record("ready", key, import_s=self.start_s)
            self.record("loaded", key, load_s=0.0, first_call_s=0.0)
            self.record("warm", key, seconds=0.0)
        speeds = {
            key: self.arms[key] * np.exp(self.between * self.rng.standard_normal()) for key in self.arms
        }
        spent = Counter(dict.fromkeys(decision.allotments, 0.0))
        for round_ in range(1000):
            due = [k for k, t in decision.allotments.items() if round_ < t.blocks and spent[k] < t.seconds]
            for key in due:
                if key in self.dying and round_ == 2:
                    self.record("trial-failed", key, blocks=2)
                    spent[key] = np.inf
                    continue
                spent[key] += self._block(key, number, round_, speeds[key])
        done = {"finished": number + 1, "arms": list(decision.allotments)}
        self.keep({"event": "trial-done", "trial": number, **done})

    def _block(self, key: Key, trial: int, round_: int, speed: float) -> float:
        call_s = speed * np.exp(self.within * self.rng.standard_normal())
        calls = max(int(self.measure.block_time / call_s), 1)
        samples = np.full(calls, round(call_s * 1e9), np.int64)
        self.record(
            "block",
            key,
            trial=trial,
            round=round_,
            order=0,
            start_ns=0,
            duration_ns=int(samples.sum()),
            samples=calls,
            calls_ns=pack(samples),
            tags=[],
            evidence={},
        )
        return float(samples.sum()) / 1e9

    def run(self, most: int = 200) -> Simulation:
        for _ in range(most):
            decision = self.decide()
            self.stops |= {stop.key: stop for stop in decision.stops if stop.key not in self.stops}
            if not decision.allotments:
                return self
            self.trial(decision)
        raise AssertionError("it never ended")


def group(**speeds: float) -> dict[Key, float]:
    return {BASE: 1e-3, CONTROL: 1e-3, **{(name, "subject"): speed for name, speed in speeds.items()}}


def test_a_fixed_number_of_trials_is_kept_to() -> None:
    done = Simulation(group(fast=5e-4), trials=4, max_time=2.0).run()
    assert done.history.finished == 4
    assert {stop.reason for stop in done.stops.values()} == {AS_ASKED}
    assert {done.history.arm(key).attempts for key in done.arms} == {4}
    assert all(0.35 <= allotment.seconds <= 0.5 for allotment in done.decide().allotments.values())


def test_quiet_arms_stop_when_the_wanted_precision_is_there() -> None:
    done = Simulation(group(fast=5e-4), target_ci=0.02, max_time=20.0).run()
    assert done.history.finished == WANTED_TRIALS
    stop = done.stops["fast", "subject"]
    assert stop.reason == StopReason.TARGET_CI
    assert stop.halfwidth is not None and stop.halfwidth <= 0.02
    assert done.history.arm(("fast", "subject")).timed_s < 10.0
    assert {done.stops[key].reason for key in (BASE, CONTROL)} == {NOT_NEEDED}


def test_a_noisy_arm_goes_on_and_the_quiet_ones_drop_out() -> None:
    simulation = Simulation(group(calm=5e-4, wild=7e-4), target_ci=0.02, max_time=30.0)
    quiet = simulation._block

    def block(key: Key, trial: int, round_: int, speed: float) -> float:
        wild = np.exp(0.03 * np.random.default_rng(trial).standard_normal()) if key[0] == "wild" else 1.0
        return quiet(key, trial, round_, speed * wild)

    simulation._block = block  # type: ignore[method-assign]
    done = simulation.run()
    trials = {key[0]: done.history.arm(key).attempts for key in done.arms}
    assert trials["wild"] > trials["calm"] == WANTED_TRIALS
    assert done.history.arm(BASE).attempts == done.history.arm(CONTROL).attempts == trials["wild"]


def test_more_noise_takes_more_trials() -> None:
    trials = [
        Simulation(group(a=5e-4), between=spread, max_time=60.0, start_s=0.01).run().history.finished
        for spread in (0.003, 0.01, 0.02)
    ]
    assert trials == sorted(trials) and trials[0] < trials[-1]


def test_max_time_ends_what_never_gets_precise() -> None:
    done = Simulation(group(a=5e-4), between=0.2, max_time=5.0, start_s=0.0).run()
    assert done.stops[("a", "subject")].reason == StopReason.MAX_TIME
    assert 5.0 <= done.history.arm(("a", "subject")).timed_s < 6.5


def test_starting_processes_may_not_take_longer_than_max_time() -> None:
    done = Simulation(group(a=5e-4), between=0.2, max_time=5.0, start_s=2.0).run()
    assert done.stops[("a", "subject")].reason in (OUT_OF_STARTS, StopReason.MAX_TIME)
    assert done.history.arm(("a", "subject")).attempts <= 4


def test_a_baseline_that_is_much_slower_still_gets_its_trials() -> None:
    """Its first Trials must not spend all of its time: with two Trials an interval says nothing."""
    done = Simulation({**group(a=2e-3), BASE: 1.5, CONTROL: 1.5}, between=0.01, max_time=20.0).run()
    assert done.history.arm(BASE).attempts >= MIN_TRIALS
    assert done.history.arm(BASE).timed_s < 26.0


def test_a_group_in_parts_does_not_end_when_its_baseline_was_timed_once_for_each_part() -> None:
    simulation = Simulation(group(a=1e-3, b=1e-3), between=0.05, max_time=6.0, start_s=0.0)
    plain = simulation.trial

    def in_parts(decision: Decision) -> None:
        """The baseline and its control take part twice in a Trial."""
        number = simulation.history.finished
        simulation.number = 1000 + number
        for key in (BASE, CONTROL):
            simulation.record("ready", key, import_s=0.0)
            allotment, spent, round_ = decision.allotments[key], 0.0, 0
            while round_ < allotment.blocks and spent < allotment.seconds:
                spent += simulation._block(key, 1000 + number, round_, 1e-3)
                round_ += 1
        plain(decision)

    simulation.trial = in_parts  # type: ignore[method-assign]
    done = simulation.run()
    assert done.history.arm(("a", "subject")).timed_s > 4.5
    assert done.history.arm(BASE).timed_s > 9.0


def test_a_baseline_that_keeps_dying_ends_its_group_and_says_so() -> None:
    simulation = Simulation(group(a=5e-4), between=0.05, max_time=60.0)
    simulation.trial(simulation.decide())
    simulation.dying = {BASE}
    done = simulation.run()
    assert done.stops["a", "subject"].reason == BASELINE_LOST
    assert done.history.arm(BASE).failures == MAX_FAILURES


def test_an_arm_that_was_stopped_stays_so() -> None:
    simulation = Simulation(group(a=5e-4, b=5e-4), between=0.05, max_time=60.0)
    decision = simulation.decide()
    assert ("a", "subject") in decision.allotments
    rule = stopping_rule(simulation.measure)
    again = rule.decide(simulation.history, list(simulation.arms), BASE, {("a", "subject")})
    assert set(again.allotments) == {BASE, CONTROL, ("b", "subject")}
    none = rule.decide(simulation.history, list(simulation.arms), BASE, {("a", "subject"), ("b", "subject")})
    assert none.allotments == {}


def test_identical_code_is_not_called_different_because_arms_stop_at_different_times() -> None:
    """The floor is no narrower than over the Trials of the ratio, whatever was narrow by luck and when."""
    wrong = 0
    for seed in range(1000, 1060):
        done = Simulation(
            {BASE: 1e-2, CONTROL: 1e-2, ("a", "subject"): 1e-2, ("b", "subject"): 1e-2},
            between=0.02,
            within=0.01,
            start_s=0.2,
            seed=seed,
            max_time=30.0,
            block_time=0.01,
        ).run()
        base, control = (done.history.arm(key).timing for key in (BASE, CONTROL))
        for name in "ab":
            ratio = done.history.interleaved_ratio(BASE, (name, "subject"))
            assert ratio is not None
            floor = noise_floor(base, control, done.history.arm((name, "subject")).timing)
            wrong += decide(ratio, floor, 0.02) in (Verdict.FASTER, Verdict.SLOWER)
    assert wrong <= 2


def test_a_slow_baseline_ends_all_who_are_compared_with_it() -> None:
    done = Simulation({**group(a=1e-3), BASE: 1.0, CONTROL: 1.0}, between=0.1, max_time=4.0).run()
    assert done.stops[("a", "subject")].reason == BASELINE_OUT
    assert done.history.arm(BASE).timed_s < 6.5


def test_max_time_shorter_than_one_call_measures_once_and_says_why_it_stopped() -> None:
    done = Simulation({BASE: 2.0, CONTROL: 2.0, ("a", "subject"): 3.0}, max_time=0.1).run()
    assert done.history.finished == 1
    assert done.stops[("a", "subject")].reason == StopReason.MAX_TIME


def test_one_that_dies_in_every_trial_is_given_up_and_the_others_go_on() -> None:
    simulation = Simulation(group(a=5e-4, b=5e-4), max_time=20.0)
    simulation.dying = {("b", "subject")}
    done = simulation.run()
    assert done.stops[("b", "subject")].reason == KEPT_FAILING
    assert done.history.arm(("b", "subject")).failures == MAX_FAILURES
    assert done.stops[("a", "subject")].reason == StopReason.TARGET_CI


def test_without_a_baseline_the_own_speed_is_to_be_precise() -> None:
    done = Simulation({("a", "subject"): 1e-3, ("b", "subject"): 2e-3}, max_time=20.0).run()
    assert {stop.reason for stop in done.stops.values()} == {StopReason.TARGET_CI}


@pytest.mark.parametrize("seed", [0, 4])
def test_pilot_trials_are_compared_however_many_blocks_later_ones_get(seed: int) -> None:
    """They ended as planned, not early: with short Blocks, later Trials were planned six times as long."""
    simulation = Simulation(
        *(group(a=1e-3), 0.004, 0.05, 0.5, seed), target_ci=0.008, max_time=30.0, block_time=0.02
    )
    longest = 0
    while (decision := simulation.decide()).allotments:
        allotment = decision.allotments["a", "subject"]
        longest = max(longest, allotment.blocks if allotment.planned else 0)
        simulation.trial(decision)
        compared = simulation.history.arm(("a", "subject")).timing.seconds
        assert len(compared) == simulation.history.finished
    assert longest > 4 * PILOT_BLOCKS


def test_looks_at_the_interval_only_when_the_planned_trials_are_in() -> None:
    simulation = Simulation(group(a=5e-4), between=0.04, max_time=90.0, start_s=0.01)
    for _ in range(MIN_TRIALS):
        simulation.trial(simulation.decide())
    target = simulation.decide().allotments["a", "subject"].planned
    assert target is not None and target.trials > 2 * WANTED_TRIALS
    simulation.between = 0.0  # from here on all Trials are alike, so the interval gets narrow early
    narrow_before = 0
    while simulation.history.finished < target.trials:
        assert ("a", "subject") in simulation.decide().allotments
        ratio = simulation.history.interleaved_ratio(BASE, ("a", "subject"))
        narrow_before += ratio is not None and ratio.halfwidth <= simulation.measure.target_ci
        simulation.trial(simulation.decide())
    assert narrow_before > 0
    assert simulation.run().stops["a", "subject"].reason == StopReason.TARGET_CI


def test_a_milestone_does_not_move_with_what_later_trials_cost() -> None:
    simulation = Simulation(group(a=5e-4), between=0.04, max_time=90.0, start_s=0.01, block_time=0.02)
    for _ in range(MIN_TRIALS):
        simulation.trial(simulation.decide())
    planned = simulation.decide().allotments["a", "subject"].planned
    assert planned is not None and planned.trials > MIN_TRIALS + 3
    simulation.start_s = 5.0  # starts get 500 times as slow, so that fewer Trials of more Blocks look cheaper
    while simulation.history.finished < planned.trials - 1:
        simulation.trial(simulation.decide())
        assert simulation.decide().allotments["a", "subject"].planned == planned


@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_resumed_run_decides_as_if_it_had_never_stopped(after: int) -> None:
    simulation = Simulation(group(a=5e-4, b=9e-4), between=0.01, max_time=30.0)
    for _ in range(after):
        simulation.trial(simulation.decide())
    again = Measurements("g", simulation.events)
    again.scenarios = simulation.scenarios
    assert again.finished == after
    assert stopping_rule(simulation.measure).decide(again, list(simulation.arms), BASE) == simulation.decide()


def test_stopping_early_keeps_the_intervals_promise() -> None:
    """Simulated from end to end: the 95 % interval holds the true ratio about as often as it says."""
    held = []
    for seed in range(200):
        done = Simulation(
            {BASE: 1e-2, ("a", "subject"): 1e-2},
            between=0.01,
            within=0.01,
            start_s=0.1,
            seed=seed,
            max_time=60.0,
            block_time=0.01,
        ).run()
        ratio = done.history.interleaved_ratio(BASE, ("a", "subject"))
        assert ratio is not None
        held.append(ratio.low <= 1.0 <= ratio.high)
    assert np.mean(held) >= 0.90
