"""The plan is the cheapest that brute force finds, the stop rule says why, warm-up ends when it should."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from harness.errors import HarnessError
from harness.stats.planning import MIN_BLOCKS, WANTED_TRIALS, StopReason, plan, spread, stop
from harness.stats.ratio import speedup
from harness.stats.steady import WINDOW, critical_score, is_steady


def pilot(between: float, within: float, trials: int = 40, blocks: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        np.exp(between * rng.standard_normal() + within * rng.standard_normal(blocks)) for _ in range(trials)
    ]


def test_variances_of_a_large_pilot_are_found():
    found = spread(pilot(0.01, 0.02, 400, 20))
    assert math.sqrt(found.between) == pytest.approx(0.01, rel=0.15)
    # The median of 20 normal values is 1.25 times less sharp than the mean, and its variance errs upwards.
    assert 0.024 <= math.sqrt(found.within) <= 0.028


@pytest.mark.parametrize(("start_s", "block_s"), [(0.0, 1.0), (3.0, 0.2), (10.0, 0.05)])
@pytest.mark.parametrize(("between", "within"), [(0.01, 0.02), (0.001, 0.03), (0.02, 0.001)])
def test_the_plan_is_the_cheapest_that_suffices(start_s, block_s, between, within):
    data = pilot(between, within)
    budget = plan(data, start_s, block_s, target_ci=0.01, max_time_s=1e6)
    seen = spread(data)
    t = stats.t.ppf(0.975, np.arange(-1, 50))
    affordable = [
        (trials * (start_s + blocks * block_s), trials, blocks)
        for trials in range(WANTED_TRIALS, 51)
        for blocks in range(MIN_BLOCKS, 200)
        if t[trials] * seen.standard_error(trials, blocks) <= math.log1p(0.01)
    ]
    assert budget.expected_s == pytest.approx(min(affordable)[0])
    assert budget.expected_halfwidth <= 0.01 + 1e-12
    assert "cheapest" in budget.reason


def test_for_many_trials_the_blocks_tend_to_kalibera_and_jones():
    data = pilot(0.02, 0.06, 60, 60)
    seen = spread(data)
    budget = plan(data, 4.0, 0.5, target_ci=0.0105, max_time_s=1e6)
    assert budget.trials > 20
    assert budget.blocks == pytest.approx(math.sqrt(4.0 / 0.5 * seen.within / seen.between), rel=0.2)


def test_the_planned_numbers_give_the_promised_width_on_average():
    budget = plan(pilot(0.005, 0.02), 1.0, 0.1, target_ci=0.01, max_time_s=1e6)
    rng = np.random.default_rng(1)
    halves = []
    for _ in range(300):
        between = 0.005 * rng.standard_normal((budget.trials, 1))
        arm = np.exp(between + 0.02 * rng.standard_normal((budget.trials, budget.blocks)))
        halves.append(speedup(arm, np.ones_like(arm)).halfwidth)
    assert np.mean(halves) == pytest.approx(budget.expected_halfwidth, rel=0.15)


def test_too_little_time_gives_the_narrowest_that_fits():
    data = pilot(0.01, 0.02)
    budget = plan(data, 3.0, 0.5, target_ci=0.001, max_time_s=40.0)
    seen = spread(data)
    t = stats.t.ppf(0.975, np.arange(-1, 50))
    widths = [
        t[trials] * seen.standard_error(trials, blocks)
        for trials in range(3, 51)
        for blocks in range(MIN_BLOCKS, 200)
        if trials * (3.0 + blocks * 0.5) <= 40.0
    ]
    assert math.log1p(budget.expected_halfwidth) == pytest.approx(min(widths))
    assert budget.expected_s <= 40.0
    assert "does not reach" in budget.reason


def test_hardly_any_time_gives_at_least_one_trial_and_block():
    budget = plan(pilot(0.01, 0.02), 3.0, 0.5, target_ci=0.01, max_time_s=0.01)
    assert (budget.trials, budget.blocks, budget.expected_halfwidth) == (1, 1, math.inf)
    assert "too short" in budget.reason


def test_one_pilot_trial_is_said_to_be_assumed_about():
    budget = plan(pilot(0.0, 0.02, trials=1), 1.0, 0.1, target_ci=0.02, max_time_s=1e6)
    assert "1 % spread between Trials is assumed" in budget.reason


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "no Trials"),
        ([[1.0]], {}, "at least 2"),
        ([[1.0, math.nan]], {}, "not a finite number"),
        ([[1.0, 0.0]], {}, "greater than 0"),
        ([[1.0, 2.0]], {"target_ci": 0.0}, "target_ci must be"),
        ([[1.0, 2.0]], {"max_time_s": 0.0}, "max_time_s must be"),
        ([[1.0, 2.0]], {"block_s": 0.0}, "block_s must be"),
        ([[1.0, 2.0]], {"start_s": -1.0}, "start_s must be"),
    ],
)
def test_bad_plans_are_refused_in_a_sentence(data, options, message):
    settings = {"start_s": 1.0, "block_s": 1.0, "target_ci": 0.01, "max_time_s": 10.0} | options
    with pytest.raises(HarnessError, match=message):
        plan(data, **settings)


def test_stop_says_why():
    rng = np.random.default_rng(2)
    base, cand = np.exp(0.001 * rng.standard_normal((2, 6, 10)))
    narrow, few = speedup(base, cand), speedup(base[:3], cand[:3])
    assert stop(narrow, 0.02, 1.0, 20.0) is StopReason.TARGET_CI
    assert stop(narrow, 1e-6, 1.0, 20.0) is None
    assert stop(narrow, 1e-6, 20.0, 20.0) is StopReason.MAX_TIME
    assert stop(few, 0.02, 1.0, 20.0) is None
    assert stop(few, 0.02, 1.0, 20.0, min_trials=3) is StopReason.TARGET_CI
    with pytest.raises(HarnessError, match="target_ci"):
        stop(narrow, 0.0, 1.0, 20.0)


def test_looking_from_five_trials_on_costs_little_coverage():
    # Stopping at the first narrow interval favours luck: 95 % becomes 92-93 % at worst.
    rng = np.random.default_rng(3)
    logs = 0.01 * rng.standard_normal((20000, 30))
    n = np.arange(1, 31)
    mean = logs.cumsum(axis=1) / n
    variance = ((logs**2).cumsum(axis=1) - n * mean**2) / np.maximum(n - 1, 1)
    half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * np.sqrt(variance / n)
    stopped = (half <= 0.006) & (n >= WANTED_TRIALS)
    stopped[:, -1] = True
    at = np.arange(20000), stopped.argmax(axis=1)
    assert np.mean(np.abs(mean[at]) <= half[at]) >= 0.92


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_the_trend_tests_critical_score_is_exact(n):
    scores = [
        abs(sum(np.sign(order[j] - order[i]) for i in range(n) for j in range(i + 1, n)))
        for order in permutations(range(n))
    ]
    least = next(s for s in range(n * n) if np.mean([score >= s for score in scores]) <= 0.05)
    reachable = [s for s in sorted(set(scores)) if s >= least]
    assert critical_score(n) == (reachable[0] if reachable else n * (n - 1) // 2 + 2)


def first_steady(times):
    """Return the index of the first Block of the first steady window, or None."""
    starts = range(len(times) - WINDOW + 1)
    return next((start for start in starts if is_steady(times[: start + WINDOW])), None)


def test_warm_up_is_cut_where_the_times_become_steady():
    rng = np.random.default_rng(4)
    times = np.concatenate([[3.0, 1.6, 1.2, 1.08], np.ones(20)]) * np.exp(0.002 * rng.standard_normal(24))
    assert 3 <= first_steady(times) <= 5


def test_a_single_slow_first_block_is_warm_up():
    assert first_steady([2.0] + [1.0] * 8) == 1


def test_too_few_blocks_ask_for_more():
    assert not is_steady([1.0] * 7)
    assert is_steady([1.0] * 8)


def test_what_never_becomes_steady_is_not_called_so():
    assert first_steady(np.exp(0.1 * np.arange(50))) is None


def test_noisy_but_level_blocks_get_steady_soon():
    rng = np.random.default_rng(5)
    starts = [first_steady(np.exp(0.1 * rng.standard_normal(50))) for _ in range(200)]
    assert None not in starts
    assert np.mean(starts) < 1.0


@pytest.mark.parametrize(
    ("medians", "message"),
    [([], "no values"), ([1.0, math.nan], "not a finite number"), ([1.0, 0.0], "greater than 0")],
)
def test_bad_warm_up_input_is_refused(medians, message):
    with pytest.raises(HarnessError, match=message):
        is_steady(medians)
