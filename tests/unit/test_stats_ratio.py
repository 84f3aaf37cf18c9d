"""The ratio: its pairing, its oracles in scipy, its symmetries, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.errors import HarnessError
from harness.stats.location import located
from harness.stats.multiple import p_value
from harness.stats.ratio import paired_ratios, speedup, unpaired_ratio

BLOCKS = 10


def rounds_of(trials: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [np.arange(BLOCKS)] * trials, [np.arange(BLOCKS)] * trials


def test_pairing_by_round_takes_drift_out():
    rng = np.random.default_rng(0)
    drift = np.linspace(0, 0.3, BLOCKS)
    base = [np.exp(drift + 0.002 * rng.standard_normal(BLOCKS))]
    cand = [np.exp(drift + 0.002 * rng.standard_normal(BLOCKS))]
    shuffled = rng.permutation(BLOCKS)
    paired = speedup(base, [cand[0][shuffled]], rounds=([np.arange(BLOCKS)], [shuffled]))
    unpaired = speedup(base, cand)
    assert paired.halfwidth < unpaired.halfwidth / 10
    assert paired == speedup(base, cand, rounds=rounds_of(1))


def test_blocks_without_a_partner_are_left_out():
    base, cand = [[1.0, 2.0, 4.0, 9.0]], [[2.0, 4.0, 0.5]]
    ratio = speedup(base, cand, rounds=([[10, 11, 12, 13]], [[11, 12, 99]]))
    assert ratio.blocks == 2
    assert ratio.estimate == pytest.approx(1.0)
    disjoint = speedup(base, cand, rounds=([[0, 1, 2, 3]], [[4, 5, 6]]))
    assert disjoint.estimate == pytest.approx(speedup(base, cand).estimate)


def test_paired_trials_are_students_paired_t():
    rng = np.random.default_rng(1)
    base, cand = rng.lognormal(0, 0.1, (4, 3)), rng.lognormal(0, 0.1, (4, 3))
    ratio = speedup(base, cand)
    oracle = stats.ttest_rel(np.median(np.log(base), axis=1), np.median(np.log(cand), axis=1))
    low, high = oracle.confidence_interval(0.95)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((low, high))
    assert p_value(ratio) == pytest.approx(oracle.pvalue)
    assert (ratio.trials, ratio.blocks) == (4, 12)


def test_unequal_numbers_of_trials_are_welchs_t():
    rng = np.random.default_rng(2)
    base, cand = rng.lognormal(0, 0.1, (4, 3)), rng.lognormal(0, 0.2, (3, 3))
    ratio = speedup(list(base), list(cand), confidence=0.9)
    oracle = stats.ttest_ind(
        np.median(np.log(base), axis=1), np.median(np.log(cand), axis=1), equal_var=False
    )
    low, high = oracle.confidence_interval(0.9)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((low, high))
    assert p_value(ratio) == pytest.approx(oracle.pvalue)


def test_an_arm_of_one_trial_borrows_the_others_spread():
    rng = np.random.default_rng(3)
    base = list(rng.lognormal(0, 0.1, (4, 3)))
    ratio = speedup(base, base[:1])
    assert ratio.between_trials
    assert ratio.df == 3
    assert math.isfinite(ratio.high)


def test_one_trial_of_each_arm_is_welchs_t_on_medians():
    rng = np.random.default_rng(4)
    base, cand = np.log(rng.lognormal(0, 0.1, 13)), np.log(rng.lognormal(0, 0.2, 15))
    errors = [math.sqrt(located(arm).variance) for arm in (base, cand)]
    difference = float(np.median(base) - np.median(cand))
    ratio = speedup([np.exp(base)], [np.exp(cand)])
    assert math.log(ratio.estimate) == pytest.approx(difference)
    assert ratio.log_se == pytest.approx(math.hypot(*errors))
    assert ratio.df == pytest.approx(
        sum(e**2 for e in errors) ** 2 / (errors[0] ** 4 / 12 + errors[1] ** 4 / 14)
    )


def test_unpaired_ratio_does_not_depend_on_the_order_of_trials():
    rng = np.random.default_rng(5)
    base, cand = list(rng.lognormal(0, 0.1, (4, 3))), list(rng.lognormal(0.1, 0.2, (4, 5)))
    ratio = unpaired_ratio(base, cand)
    assert ratio.estimate == pytest.approx(unpaired_ratio(base[::-1], cand).estimate)
    assert ratio.log_se == pytest.approx(unpaired_ratio(base[::-1], cand).log_se)
    assert ratio.method == "Welch t over 4 and 4 Trials"
    assert (ratio.trials, ratio.blocks, ratio.between_trials) == (4, 12, True)


def test_unpaired_ratio_of_one_trial_each_says_that_it_knows_no_spread_between_trials():
    rng = np.random.default_rng(6)
    base, cand = [rng.lognormal(0, 0.1, 13)], [rng.lognormal(0, 0.2, 15)]
    assert unpaired_ratio(base, cand) == speedup(base, cand)
    assert not unpaired_ratio(base, cand).between_trials


def test_one_block_knows_nothing():
    ratio = speedup([[1.0]], [[2.0]])
    assert (ratio.estimate, ratio.low, ratio.high) == (0.5, 0.0, math.inf)
    assert p_value(ratio) == 1.0


@pytest.mark.parametrize("n", [1, 2, 4, 5, 10, 23])
def test_location_is_the_median(n):
    values = np.random.default_rng(n).standard_normal(n)
    assert located(values).value == pytest.approx(np.median(values))


@pytest.mark.parametrize("n", [3, 5, 11, 41])
def test_its_variance_is_that_of_resampled_medians(n):
    rng = np.random.default_rng(n)
    values = rng.standard_normal(n)
    medians = np.median(values[rng.integers(0, n, (100_000, n))], axis=1)
    assert located(values).variance == pytest.approx(medians.var(), rel=0.03)


@pytest.mark.parametrize("n", [10, 20, 40])
def test_its_variance_is_that_of_medians_of_many_samples(n):
    samples = np.random.default_rng(n).standard_normal((4000, n))
    seen = np.mean([located(sample).variance for sample in samples])
    assert 1.0 <= seen / np.median(samples, axis=1).var() <= 1.5


def test_a_few_disturbed_blocks_do_not_move_the_ratio():
    rng = np.random.default_rng(6)
    base, cand = np.exp(0.01 * rng.standard_normal((2, 3, BLOCKS)))
    disturbed = cand.copy()
    disturbed[:, 4] *= 5
    assert speedup(base, disturbed).estimate == pytest.approx(speedup(base, cand).estimate, rel=0.01)


times = st.lists(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=8), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(times, times)
def test_swapping_the_arms_inverts_the_ratio(baseline, candidate):
    there, back = speedup(baseline, candidate), speedup(candidate, baseline)
    assert there.estimate == pytest.approx(1 / back.estimate)
    if there.low > 1e-200 and there.high < 1e200:
        assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low), rel=1e-6)
    assert there.low <= there.estimate <= there.high


@settings(max_examples=60, deadline=None)
@given(times, times, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(baseline, candidate, scale):
    def scaled(arm):
        return [np.array(trial) * scale for trial in arm]

    before, after = speedup(baseline, candidate), speedup(scaled(baseline), scaled(candidate))
    assert after.estimate == pytest.approx(before.estimate)
    assert after.log_se == pytest.approx(before.log_se, abs=1e-9)


def test_pilot_ratios_are_those_of_common_rounds():
    pilot = paired_ratios([[2.0, 4.0, 6.0]], [[1.0, 3.0]], rounds=([[0, 1, 2]], [[0, 2]]))
    assert [list(trial) for trial in pilot] == [[2.0, 2.0]]
    with pytest.raises(HarnessError, match="share no round"):
        paired_ratios([[1.0]], [[1.0]], rounds=([[0]], [[1]]))
    with pytest.raises(HarnessError, match="cannot be paired"):
        paired_ratios([[1.0]], [[1.0], [1.0]])


@pytest.mark.parametrize(
    ("baseline", "candidate", "options", "message"),
    [
        ([], [[1.0]], {}, "baseline: there are no Trials"),
        ([[1.0]], [[]], {}, "candidate, Trial 1: there are no values"),
        ([[1.0, math.nan]], [[1.0]], {}, "not a finite number"),
        ([[1.0]], [[1.0, math.inf]], {}, "not a finite number"),
        ([[1.0, 0.0]], [[1.0]], {}, "greater than 0"),
        ([[-1.0]], [[1.0]], {}, "greater than 0"),
        ([[[1.0]]], [[1.0]], {}, "flat list"),
        ([["fast"]], [[1.0]], {}, "expected numbers"),
        ([[1.0]], [[1.0]], {"confidence": 1.0}, "between 0 and 1"),
        ([[1.0, 2.0]], [[1.0]], {"rounds": ([[0]], [[0]])}, "one round for each Block"),
        ([[1.0, 2.0]], [[1.0]], {"rounds": ([[0, 0]], [[0]])}, "a round occurs twice"),
        ([[1.0]], [[1.0]], {"rounds": ([], [])}, "one round for each Block"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(baseline, candidate, options, message):
    with pytest.raises(HarnessError, match=message):
        speedup(baseline, candidate, **options)
