"""Many comparisons estimated from few experiments: by the report's rule, and with the true shares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.noise_study.power import Experiment, judge_experiment, summarize
from harness.analysis.noise_study.relabelling import bars, draw, log_ratios, relabel

ALIKE = ("baseline", "control", "identical")
EFFECTS = {"identical": 0.0, "1% slower": 0.01}


def experiment(rng: np.random.Generator, trials: int = 12, between: float = 0.004) -> Experiment:
    """Three arms of the same code, each Trial off by `between`, its Blocks by 0.3 %; all drift alike."""
    made = Experiment()
    for trial in range(trials):
        drift = np.exp(0.05 * rng.standard_normal(8))
        arms = {
            name: (range(8), drift * np.exp(between * rng.standard_normal() + 0.003 * rng.standard_normal(8)))
            for name in ALIKE
        }
        made.add(("s", trial), arms, timed_s=1.0, wall_s=2.0)
    return made


@pytest.mark.parametrize("trials", [2, 3, 12])
@pytest.mark.parametrize("seed", range(5))
def test_with_the_measured_labels_the_bar_and_the_error_are_those_of_the_report(
    seed: int, trials: int
) -> None:
    made = experiment(np.random.default_rng(seed), trials)
    (judged,) = judge_experiment(made, {"identical": 0.0}, 0.02)
    found = log_ratios(made.timings, ALIKE)
    assert found is not None
    as_it_was = np.broadcast_to(np.array([0, 1, 2]), (1, trials, 3))
    bar, error = bars(found, as_it_was)
    assert math.expm1(bar[0] + error[0]) == pytest.approx(judged.needed, rel=1e-6)
    assert error[0] == pytest.approx(math.log(judged.ratio.estimate), abs=1e-9)


def test_the_shares_are_those_of_many_experiments() -> None:
    """Four relabelled experiments give on average the shares that 2,000 simulated ones give."""
    rng = np.random.default_rng(7)
    as_it_was = np.broadcast_to(np.array([0, 1, 2]), (1, 12, 3))
    counted = []
    for _ in range(2000):
        arms = 0.004 * rng.standard_normal((12, 3))
        (bar,), (error,) = bars(arms[:, :, None] - arms[:, None, :], as_it_was)
        counted.append((abs(error) > bar, math.log1p(0.006) > bar + error))
    alarms, power = np.mean(counted, axis=0)
    estimates = [
        relabel([experiment(rng).timings for _ in range(4)], ALIKE, [0.006], 0.95) for _ in range(12)
    ]
    rates = np.array([[one.rate for one in found.called] for found in estimates if found])
    assert rates[:, 0].mean() == pytest.approx(alarms, abs=0.005)
    assert rates[:, 1].mean() == pytest.approx(power, abs=0.08)


def test_two_trials_share_their_labels_as_they_share_a_start_order() -> None:
    roles = draw(5, 3, 300, np.random.default_rng(0))
    assert roles.shape == (300, 5, 3)
    assert (roles[:, 0] == roles[:, 1]).all() and (roles[:, 2] == roles[:, 3]).all()
    assert (roles[:, 1] != roles[:, 2]).any() and (roles[:, 3] != roles[:, 4]).any()
    assert {tuple(sorted(labels)) for labels in roles[:, 0].tolist()} == {(0, 1, 2)}


def test_a_larger_slow_down_is_called_more_often_and_the_extremes_are_the_experiments() -> None:
    rng = np.random.default_rng(3)
    quiet, loud = experiment(rng, between=0.001), experiment(rng, between=0.02)
    found = relabel([quiet.timings, loud.timings], ALIKE, [0.01, 0.2], 0.95)
    assert found is not None
    none, little, large = found.called
    assert (none.effect, little.effect, large.effect) == (0.0, 0.01, 0.2)
    assert none.rate < 0.05 < little.rate < large.rate == 1.0
    assert (little.high, little.rate) == (1.0, pytest.approx((1.0 + little.low) / 2))
    assert 0.02 < found.smallest < 0.2


def test_trials_that_an_arm_lacks_are_left_out_and_one_trial_tells_nothing() -> None:
    made = experiment(np.random.default_rng(0), 4)
    whole = log_ratios(made.timings, ALIKE)
    del made.timings["identical"].seconds["s", 2]
    found = log_ratios(made.timings, ALIKE)
    assert whole is not None and found is not None
    np.testing.assert_array_equal(found, whole[[0, 1, 3]])
    np.testing.assert_allclose(found, -found.transpose(0, 2, 1), atol=1e-12)
    assert relabel([experiment(np.random.default_rng(0), 1).timings], ALIKE, [0.01], 0.95) is None
    assert relabel([made.timings], ALIKE[:2], [0.01], 0.95) is None


def test_where_arms_ended_by_their_own_luck_nothing_is_estimated() -> None:
    made = [experiment(np.random.default_rng(seed)) for seed in range(2)]
    assert all(prefix.relabel for prefix in summarize(made, EFFECTS, 0.02))
    assert not any(prefix.relabel for prefix in summarize(made, EFFECTS, 0.02, fixed=False))
