"""False alarms and power: counted from experiments of known truth, by the rule that the report uses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.noise_study.power import (
    MIN_TRIALS,
    Experiment,
    Judged,
    Power,
    judge_experiment,
    roles_of,
    smallest_effect,
    summarize,
    tally,
)
from harness.stats.multiple import p_value
from harness.stats.ratio import Ratio
from harness.stats.verdict import Verdict, decide, floor_magnitude

EFFECTS = {"identical": 0.0, "2% slower": 0.02, "20% slower": 0.2}


def experiment(seed: int, trials: int = 6, between: float = 0.002, effects: dict | None = None) -> Experiment:
    """Arms of 10 ms a call, each Trial off by `between`, its Blocks by 0.5 %."""
    rng = np.random.default_rng(seed)
    made = Experiment()
    for trial in range(trials):
        arms = {}
        for name, effect in {"baseline": 0.0, "control": 0.0, **(effects or EFFECTS)}.items():
            noise = between * rng.standard_normal() + 0.005 * rng.standard_normal(10)
            arms[name] = (range(10), 0.01 * (1 + effect) * np.exp(noise))
        made.add(("s", trial), arms, timed_s=1.0, wall_s=10.0)
    return made


def ratio(estimate: float, se: float = 0.001, df: float = 9) -> Ratio:
    half = 2.262 * se
    return Ratio(
        estimate, estimate * math.exp(-half), estimate * math.exp(half), 10, 100, "t", True, 0.95, se, df
    )


def judged(verdict: Verdict, effect: float = 0.0) -> Judged:
    return Judged(effect, ratio(1.0), ratio(1.0), verdict)


def test_a_large_slow_down_is_called_and_identical_code_is_not():
    found = [judge_experiment(experiment(seed), EFFECTS, 0.02) for seed in range(30)]
    powers = {power.effect: power for power in tally(found)}
    assert powers[0.2].called == powers[0.2].slower == 30
    assert powers[0.0].called <= 1
    assert powers[0.2].wrong_way == powers[0.02].wrong_way == 0


def test_each_candidate_is_judged_by_itself_with_the_rule_of_the_report():
    found = judge_experiment(experiment(1), EFFECTS, 0.02)
    assert [one.effect for one in found] == list(EFFECTS.values())
    for one in found:
        assert one.floor is not None
        assert one.verdict == decide(one.ratio, one.floor, 0.02, p_value=p_value(one.ratio))
        assert one.ratio.estimate == pytest.approx(1 / (1 + one.effect), rel=0.01)


def test_a_candidate_that_was_not_measured_is_left_out():
    found = judge_experiment(experiment(1, effects={"identical": 0.0}), EFFECTS, 0.02)
    assert [one.effect for one in found] == [0.0]
    assert judge_experiment(Experiment(), EFFECTS, 0.02) == []


def test_verdicts_are_counted_by_effect_and_the_wrong_way_apart():
    calls = [
        *[
            judged(Verdict.FASTER),
            judged(Verdict.SLOWER),
            judged(Verdict.EQUIVALENT),
            judged(Verdict.INCONCLUSIVE),
        ],
        *[judged(Verdict.SLOWER, 0.02)] * 3,
        judged(Verdict.FASTER, 0.02),
    ]
    identical, slowed = tally([one] for one in calls)
    assert (identical.effect, identical.called, identical.comparisons, identical.wrong_way) == (0.0, 2, 4, 0)
    assert (slowed.effect, slowed.called, slowed.comparisons, slowed.wrong_way) == (0.02, 3, 4, 1)


def power(effect: float, called: int, missed: int, roles: int = 1) -> Power:
    """Of so many comparisons, `roles` of an experiment, those that were called come first."""
    verdicts = [Verdict.SLOWER] * called + [Verdict.EQUIVALENT] * missed
    made = [judged(verdict, effect) for verdict in verdicts]
    return tally(made[i : i + roles] for i in range(0, len(made), roles))[0]


def test_the_interval_is_wilsons():
    low, high = power(0.02, 95, 5).interval()
    assert (low, high) == (pytest.approx(0.8882, abs=1e-4), pytest.approx(0.9785, abs=1e-4))
    assert power(0.0, 0, 100).interval()[1] == pytest.approx(0.037, abs=1e-3)


def test_the_interval_counts_experiments_and_parts_against_the_claim():
    assert power(0.02, 58, 2, roles=6).interval() == power(0.02, 9, 1).interval()
    assert power(0.0, 1, 59, roles=6).interval() == power(0.0, 1, 9).interval()


def test_experiments_count_the_same_however_many_roles_they_could_give_out():
    """Five in six roles and five in one are ten experiments, as the interval counts them, and not twelve."""
    made = [[judged(Verdict.EQUIVALENT)] * roles for roles in [6] * 5 + [1] * 5]
    (found,) = tally(made)
    assert (found.experiments, found.comparisons, found.roles) == (10, 35, 6)
    assert found.interval() == power(0.0, 0, 10).interval()
    (seen,) = tally([[judged(Verdict.SLOWER, 0.02)] * 6, [judged(Verdict.EQUIVALENT, 0.02)]])
    assert seen.interval() == power(0.02, 1, 1).interval()


def test_all_arms_without_a_slow_down_take_every_role():
    made = experiment(3)
    parts = roles_of(made, EFFECTS)
    assert len(parts) == 6
    alike = ("baseline", "control", "identical")
    seen = {tuple(id(part.timings[role]) for role in alike) for part in parts}
    assert len(seen) == 6
    assert all(part.timings["2% slower"] is made.timings["2% slower"] for part in parts)
    lost = Experiment({name: t for name, t in made.timings.items() if name != "control"}, made.timed_s)
    floors = [one.floor for part in roles_of(lost, EFFECTS) for one in judge_experiment(part, EFFECTS, 0.02)]
    assert None in floors
    assert any(floor is not None for floor in floors)


@pytest.mark.parametrize("effect", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("trials", [1, 6])
@pytest.mark.parametrize("seed", range(8))
def test_what_was_needed_is_where_the_verdict_turns(seed: int, trials: int, effect: float):
    # The same noise with another slow-down: called above `needed`, not called below.
    name = {"x": effect}
    (one,) = judge_experiment(experiment(seed, trials, effects=name), name, 0.02)
    for side, called in ((1e-6, True), (-1e-6, False)):
        other = {"x": one.needed + side}
        (moved,) = judge_experiment(experiment(seed, trials, effects=other), other, 0.02)
        assert (moved.verdict is Verdict.SLOWER) == called


def test_what_was_needed_counts_the_noise_floor():
    quiet, loud = (Judged(0.0, ratio(1.0), ratio(1.0, se), Verdict.EQUIVALENT) for se in (1e-6, 0.02))
    assert quiet.needed == pytest.approx(math.expm1(2.262 * 0.001))
    assert loud.needed == pytest.approx(floor_magnitude(loud.floor))
    assert Judged(0.0, ratio(1.0, math.inf), None, Verdict.INCONCLUSIVE).needed == math.inf


def test_the_smallest_effect_is_what_the_wanted_share_needed():
    many = [
        Judged(0.0, ratio(math.exp(-error)), None, Verdict.EQUIVALENT) for error in np.linspace(0, 0.099, 100)
    ]
    needed = sorted(one.needed for one in many)
    assert smallest_effect(many, 0.95) == needed[95]
    assert smallest_effect([]) == math.inf


def test_more_trials_show_less():
    # Prefixes are the first Trials: narrower intervals and smaller effects, the longer.
    found = summarize([experiment(seed, trials=16) for seed in range(20)], EFFECTS, 0.02)
    assert [prefix.trials for prefix in found] == [4, 8, 16]
    assert [prefix.timed_s for prefix in found] == [4, 8, 16]
    assert found[0].halfwidth > found[1].halfwidth > found[2].halfwidth
    assert found[0].smallest > found[2].smallest
    assert all(power.comparisons == 20 * 6 for prefix in found for power in prefix.powers)


def test_a_comparison_takes_its_three_arms_share_of_the_wall_time():
    (prefix,) = summarize([experiment(0, trials=2)], EFFECTS, 0.02)
    assert prefix.comparison_s == pytest.approx(2 * 10.0 * 3 / 5)


def test_a_prefix_has_two_trials_at_least_and_equal_ones_stand_once():
    one = experiment(0, trials=3)
    assert sorted(one.first(0.25).timed_s) == [("s", number) for number in range(MIN_TRIALS)]
    assert all(set(timing.seconds) == {("s", 0), ("s", 1)} for timing in one.first(0.25).timings.values())
    assert [prefix.trials for prefix in summarize([one], EFFECTS, 0.02)] == [2, 3]


def test_nothing_measured_tells_nothing():
    assert summarize([], EFFECTS, 0.02) == []
