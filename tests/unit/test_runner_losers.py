"""Arms that are stopped early: those that certainly lose, or that the time is too short for; no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from test_runner_stopping_rule import BASE, CONTROL, Simulation, group

from harness.runner.experiment.losers import Contenders, WithoutLosers
from harness.runner.experiment.measurements import Measurements
from harness.runner.experiment.short_time import GIVEN_UP, ShortTime
from harness.runner.experiment.stopping_rule import NOT_NEEDED, Allotment, Decision, stopping_rule
from harness.runner.experiment.trial import Key
from harness.stats.planning import MIN_TRIALS


def measured(arms: dict[Key, float], trials: int, *, between: float = 0.005, seed: int = 0) -> Simulation:
    """Trials of arms that all took part."""
    simulation = Simulation(arms, between=between, seed=seed, max_time=4.0)
    allotments = dict.fromkeys(arms, Allotment(5, 1.0))
    for _ in range(trials):
        simulation.trial(Decision(allotments))
    return simulation


@dataclass
class All:
    """A rule that lets every arm go on; it counts how often the contenders are asked for."""

    names: Sequence[str] = ()
    kept: Sequence[str] = ()
    asked: int = 0
    keys: list[Key] = field(default_factory=list)

    def decide(self, history: Measurements, keys: Sequence[Key], *_: object) -> Decision:
        return Decision(dict.fromkeys(keys, Allotment(5, 1.0)), trials=history.finished + 1)

    def contenders(self) -> Contenders:
        self.asked += 1
        return Contenders({name: name.title() for name in self.names}, self.kept)


def stops(simulation: Simulation, every: All) -> dict[str, str]:
    decision = WithoutLosers(every, every.contenders).decide(simulation.history, [*simulation.arms], BASE)
    assert not {stop.key for stop in decision.stops} & {*decision.allotments}
    return {stop.key[0]: stop.reason for stop in decision.stops}


def test_what_is_slower_than_the_baseline_or_than_a_possible_winner_is_stopped_with_its_reason() -> None:
    simulation = measured(group(fast=4e-4, middle=6e-4, slow=2e-3), MIN_TRIALS)
    assert stops(simulation, All(["base", "fast", "middle"])) == {
        "middle": "certainly slower than Fast",
        "slow": "certainly slower than Base",
    }


def test_nothing_is_stopped_before_three_trials() -> None:
    every = All(["base", "fast"])
    assert stops(measured(group(fast=4e-4, slow=4e-3), MIN_TRIALS - 1, between=1e-6), every) == {}
    assert every.asked == 0


def test_an_arm_that_is_faster_but_loses_quality_stops_nobody() -> None:
    simulation = measured(group(lossy=2e-4, middle=6e-4), MIN_TRIALS)
    assert stops(simulation, All(["base", "middle"])) == {}
    assert stops(simulation, All(["base", "middle", "lossy"])) == {"middle": "certainly slower than Lossy"}


def test_an_arm_that_may_win_by_its_size_goes_on() -> None:
    simulation = measured(group(small=2e-3, slow=2e-3), MIN_TRIALS)
    assert stops(simulation, All(["base"], kept=["small"])) == {"slow": "certainly slower than Base"}


@pytest.mark.parametrize("seed", range(40))
def test_the_fastest_of_noisy_arms_that_hardly_differ_is_never_stopped(seed: int) -> None:
    """It is looked at after each of ten Trials."""
    arms = group(best=0.93e-3, second=0.95e-3, third=0.97e-3)
    simulation = measured(arms, MIN_TRIALS, between=0.03, seed=seed)
    every = All(["base", "best", "second", "third"])
    for _ in range(8):
        assert "best" not in stops(simulation, every)
        simulation.trial(Decision(dict.fromkeys(arms, Allotment(5, 1.0))))


def test_the_baseline_and_its_control_end_with_the_last_arm_and_are_no_losers_themselves() -> None:
    simulation = measured(group(slow=2e-3), MIN_TRIALS)
    every = All(["base"])
    decision = WithoutLosers(every, every.contenders).decide(simulation.history, [*simulation.arms], BASE)
    assert decision.allotments == {}
    reasons = {stop.key: stop.reason for stop in decision.stops}
    assert reasons[BASE] == reasons[CONTROL] == NOT_NEEDED
    fast = measured(group(fast=4e-4), MIN_TRIALS)
    assert stops(fast, All(["base", "fast"])) == {}


def test_a_whole_sitting_spends_its_trials_on_what_may_win() -> None:
    simulation = Simulation(group(fast=5e-4, slow=2e-3), between=0.01, max_time=4.0, target_ci=0.01)
    rule = WithoutLosers(stopping_rule(simulation.measure), lambda: Contenders({"base": "a", "fast": "b"}))
    simulation.decide = lambda: rule.decide(  # type: ignore[method-assign]
        simulation.history, [*simulation.arms], BASE, {*simulation.stops}
    )
    done = simulation.run()
    assert done.history.arm(("slow", "subject")).finished == MIN_TRIALS
    assert done.history.arm(("fast", "subject")).finished > MIN_TRIALS
    assert done.stops["slow", "subject"].reason == "certainly slower than a"


def short(arms: dict[Key, float], left_s: float, every: All, trials: int = 1) -> dict[Key, str]:
    """What is given up with so many seconds left; a Trial takes 0.5 s to start and 0.5 s of Blocks."""
    simulation = measured(arms, trials)
    rule = ShortTime(every, 1000.0 + left_s, every.contenders, lambda: 1000.0)
    decision = rule.decide(simulation.history, [*arms], BASE)
    assert set(decision.allotments) == {*arms} - {stop.key for stop in decision.stops}
    assert {BASE, CONTROL} <= {*decision.allotments}
    return {stop.key: stop.reason for stop in decision.stops}


def test_where_the_time_is_short_the_slowest_go_and_before_them_what_cannot_win() -> None:
    arms = group(
        fast=4e-4, lossy=3e-4, slow=2e-3
    )  # five arms, 1.1 s each in a Trial; two more Trials to make
    every = All(["base", "fast", "slow"])
    assert short(arms, 11.5, every) == {}
    assert every.asked == 0
    assert short(arms, 10.0, every) == {("lossy", "subject"): GIVEN_UP}
    assert {*short(arms, 7.5, every)} == {("slow", "subject"), ("lossy", "subject")}


def test_one_arm_always_stays_and_enough_trials_are_never_given_up() -> None:
    arms = group(fast=4e-4, slow=2e-3)
    assert short(arms, 0.1, All(["base", "fast", "slow"])) == {("slow", "subject"): GIVEN_UP}
    assert short(arms, 0.1, All(["base", "fast", "slow"]), trials=MIN_TRIALS) == {}
    assert short(arms, 0.1, All(["base", "fast", "slow"]), trials=0) == {}
