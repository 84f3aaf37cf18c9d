"""Percentiles are shown only where n allows, and their upper bounds hold."""

from __future__ import annotations

import math
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import harness.stats
from harness.errors import HarnessError
from harness.stats.quantiles import (
    independent_calls,
    min_calls,
    mixture,
    percentile,
    percentiles,
    upper_rank,
)


@pytest.mark.parametrize(("q", "n"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_the_fewest_samples_are_loadgens(q, n):
    assert min_calls(q) == n
    # Brute force: at most one over-latency query in n is improbable from n on, and not before.
    assert stats.binom.cdf(1, n, 1 - q) <= 0.01 < stats.binom.cdf(1, n - 1, 1 - q)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 0.995), st.floats(0.6, 0.999))
def test_the_fewest_samples_agree_with_a_binomial_scan(q, confidence):
    ns = np.arange(2, 6000)
    rare = stats.binom.cdf(1, ns, 1 - q) <= 1 - confidence
    assert min_calls(q, confidence) == ns[rare.argmax()]


def test_low_quantiles_need_as_many_as_their_mirror_image():
    assert min_calls(0.1) == min_calls(0.9)


@pytest.mark.parametrize("n", [1, 5, 43, 44, 64, 200, 1000])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_the_bounds_rank_is_the_smallest_that_covers(n, q):
    ranks = np.arange(1, n + 1)
    covers = stats.binom.cdf(ranks - 1, n, q) >= 0.99
    assert upper_rank(n, q) == (ranks[covers.argmax()] if covers.any() else None)


def test_the_upper_bound_covers_by_simulation():
    rng = np.random.default_rng(0)
    rank = upper_rank(130, 0.95)
    bounds = np.sort(rng.exponential(size=(4000, 130)), axis=1)[:, rank - 1]
    assert np.mean(bounds >= -math.log(0.05)) >= 0.985


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.01, 0.99), st.floats(0.6, 0.999))
def test_value_is_numpys_and_never_above_the_bound(samples, q, confidence):
    found = percentile(samples, q, confidence)
    assert found.value == pytest.approx(np.quantile(samples, q), rel=1e-9, abs=1e-6)
    assert found.allowed == (len(samples) >= min_calls(q, confidence))
    if confidence >= 0.99:
        assert found.upper >= found.value


def test_too_few_samples_have_no_right_to_a_percentile():
    short, enough = percentile(np.arange(63.0), 0.9), percentile(np.arange(64.0), 0.9)
    assert not short.allowed
    assert enough.allowed
    assert enough.upper == 62.0
    assert percentile([1.0], 0.9).upper == math.inf


def test_several_quantiles_at_once_are_each_one():
    samples = np.random.default_rng(1).random(300)
    assert percentiles(samples, [0.5, 0.9]) == [percentile(samples, 0.5), percentile(samples, 0.9)]


@pytest.mark.parametrize(
    ("samples", "q", "message"),
    [
        ([], 0.5, "there are no values"),
        ([math.nan, 1.0], 0.5, "not a finite number"),
        ([1.0], 0.0, "a quantile must lie between 0 and 1"),
        ([1.0], 1.0, "a quantile must lie between 0 and 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(samples, q, message):
    with pytest.raises(HarnessError, match=message):
        percentile(samples, q)


def test_importing_stats_does_not_import_scipy():
    modules = [module.name for module in pkgutil.iter_modules(harness.stats.__path__, "harness.stats.")]
    assert len(modules) > 5
    code = f"import sys, {', '.join(modules)}; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_mixture_of_equal_trials_is_the_pooled_quantile():
    trials = np.random.default_rng(0).lognormal(size=(4, 300))
    assert mixture(trials, [0.5, 0.99]) == percentiles(trials.ravel(), [0.5, 0.99])


def test_a_fast_trial_does_not_outvote_the_slow_ones():
    """Equal time a Trial: the fast one makes ten times the calls, and is one process of three."""
    rng = np.random.default_rng(1)
    trials = [rng.normal(1.0, 0.01, 10_000), rng.normal(2.0, 0.01, 5_000), rng.normal(10.0, 0.01, 1_000)]
    half, high = mixture(trials, [0.5, 0.9])
    assert half.value == pytest.approx(2.0, abs=0.02)
    assert percentiles(np.concatenate(trials), [0.5])[0].value < 1.1
    assert high.value == pytest.approx(10.0, abs=0.05)
    assert high.upper >= high.value
    assert 1_000 < half.n < 3 * 2_400


def test_a_mixtures_quantiles_are_those_of_drawing_a_trial_and_then_a_call():
    rng = np.random.default_rng(2)
    trials = [rng.gamma(2, 1 + i, size) for i, size in enumerate((200, 900, 3_000))]
    drawn = np.concatenate([rng.choice(trial, 200_000) for trial in trials])
    for found, q in zip(mixture(trials, [0.1, 0.5, 0.9]), (0.1, 0.5, 0.9), strict=True):
        assert found.value == pytest.approx(np.quantile(drawn, q), rel=0.02)


def test_a_mixtures_right_to_a_percentile_is_that_of_its_smallest_trials():
    trials = [np.ones(100_000), np.arange(1.0, 21.0)]
    found = mixture(trials, [0.99])[0]
    assert not found.allowed
    assert found.n < 80


def test_calls_are_worth_what_the_spread_between_blocks_says():
    # 400 calls, 40 of them slow. All in one of 4 Blocks: shares differ by 30, -10, -10, -10 of 400, so
    # v = (900 + 3 * 100) / 400^2 * 4/3 = 0.01, and 0.9 * 0.1 / 0.01 = 9.
    clustered = np.concatenate([np.full(40, 2.0), np.ones(360)])
    assert independent_calls([clustered], [[100] * 4], 0.9, 1.5) == 9
    assert independent_calls([clustered], [[1] * 400], 0.9, 1.5) == 399  # a call a Block: as it is
    assert independent_calls([np.tile(clustered[::10], 10)], [[40] * 10], 0.9, 1.5) == 400  # evenly spread
    assert independent_calls([clustered], [[400]], 0.9, 1.5) == 400  # one Block shows nothing
    assert independent_calls([np.ones(400)], [[100] * 4], 0.9, 1.0) == 400  # all equal: no slow calls
    # The same stall in the first of two Trials of two Blocks.
    assert independent_calls([clustered[:200], clustered[200:]], [[100] * 2] * 2, 0.9, 1.5) == 9


def test_calls_are_worth_less_where_processes_differ():
    # In Blocks of 100, one Trial of four has 16 slow calls a Block, the others 8: their shares differ from
    # 0.1 by 24 and three times -8 of 1,600, so v = (24^2 + 3 * 8^2) / 1600^2 * 4/3 = 4e-4. By Block it is
    # (4 * 6^2 + 12 * 2^2) / 1600^2 * 16/15 = 8e-5.
    trials = [np.tile(np.repeat([2.0, 1.0], [slow, 100 - slow]), 4) for slow in (16, 8, 8, 8)]
    assert independent_calls(trials, [[100] * 4] * 4, 0.9, 1.5) == 225


def test_the_bound_of_a_percentile_covers_where_processes_differ_in_speed_by_a_tenth():
    # The nominal 99 % bound of p90 with five Trials; by Blocks alone it covers in 78 of 100 cases.
    rng = np.random.default_rng(6)

    def measured(trials: int) -> np.ndarray:
        return rng.exponential(np.exp(0.1 * rng.standard_normal((trials, 1))), (trials, 2_000))

    truth = np.quantile(measured(3_000), 0.9)
    found = [mixture(measured(5), [0.9], blocks=[[200] * 10] * 5)[0] for _ in range(300)]
    assert np.mean([one.upper >= truth for one in found]) > 0.92
    assert all(one.allowed for one in found)


def test_clustered_stalls_take_the_right_to_a_percentile():
    rng = np.random.default_rng(3)
    calls = 1 + 0.1 * rng.random(4 * 1_000)
    calls[300:380] += 1.0  # one stall of 80 calls: 2 % of all
    trials = calls.reshape(2, 2_000)
    (alone,) = mixture(trials, [0.99])
    (seen,) = mixture(trials, [0.99], blocks=[[500] * 4] * 2)
    assert (alone.allowed, alone.n) == (True, 4_000)
    assert not seen.allowed
    assert seen.n == 99  # 35 and seven times -5 of 4,000: 0.99 * 0.01 / ((1225 + 175) / 4000^2 * 8/7)
    assert seen.value == pytest.approx(alone.value)


def test_the_bound_of_a_percentile_covers_through_stalls_and_an_independent_one_would_not():
    # 40 Blocks of 500 calls; three Blocks in ten hold a stall of 30 calls, so 1.8 % of all calls.
    rng = np.random.default_rng(4)

    def measured(blocks: int) -> np.ndarray:
        calls = 1 + 0.1 * rng.random((blocks, 500))
        for index in np.flatnonzero(rng.random(blocks) < 0.3):
            start = rng.integers(0, 471)
            calls[index, start : start + 30] += 1 + rng.random(30)
        return calls

    truth = np.quantile(measured(20_000), 0.99)
    runs = [measured(40).reshape(4, 5_000) for _ in range(300)]
    naive = [mixture(run, [0.99])[0].upper >= truth for run in runs]
    seen = [mixture(run, [0.99], blocks=[[500] * 10] * 4)[0] for run in runs]
    assert np.mean(naive) < 0.85
    assert np.mean([one.upper >= truth for one in seen]) >= 0.98
    assert np.mean([one.allowed for one in seen]) > 0.9
