"""The rule for faster, slower, equivalent and inconclusive, case by case; p-values and their correction."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.stats.multiple import benjamini_hochberg, holm, p_value
from harness.stats.ratio import Ratio, speedup
from harness.stats.verdict import Verdict, decide, floor_magnitude, margin


def ratio(low: float, high: float, *, between_trials: bool = True) -> Ratio:
    estimate = math.sqrt(low * high) if low > 0 and math.isfinite(high) else 1.0
    return Ratio(estimate, low, high, 5, 50, "given", between_trials, 0.95, 0.01, 4.0)


QUIET, NOISY, UNKNOWN = ratio(0.995, 1.005), ratio(0.95, 1.02), ratio(0.0, math.inf)


@pytest.mark.parametrize(
    ("candidate", "floor", "verdict"),
    [
        (ratio(1.02, 1.06), QUIET, Verdict.FASTER),
        (ratio(0.94, 0.98), QUIET, Verdict.SLOWER),
        (ratio(1.001, 1.003), QUIET, Verdict.EQUIVALENT),  # excludes 1, but within the floor
        (ratio(1.008, 1.012), QUIET, Verdict.FASTER),  # below precision, yet real: rule 1 comes first
        (ratio(0.99, 1.01), QUIET, Verdict.EQUIVALENT),
        (ratio(0.99, 1.03), QUIET, Verdict.INCONCLUSIVE),
        (ratio(1.02, 1.06), NOISY, Verdict.INCONCLUSIVE),  # 4 % is within what identical code shows today
        (ratio(0.97, 1.04), NOISY, Verdict.EQUIVALENT),
        (ratio(1.5, 1.6), UNKNOWN, Verdict.INCONCLUSIVE),
        (ratio(0.99, 1.01), UNKNOWN, Verdict.INCONCLUSIVE),
        (ratio(1.001, 1.003), None, Verdict.FASTER),
        (UNKNOWN, QUIET, Verdict.INCONCLUSIVE),
        (ratio(1.05, 1.06, between_trials=False), QUIET, Verdict.INCONCLUSIVE),
        (ratio(1.15, 1.20, between_trials=False), QUIET, Verdict.FASTER),
        (ratio(0.99, 1.01, between_trials=False), QUIET, Verdict.INCONCLUSIVE),
    ],
)
def test_the_rule(candidate, floor, verdict):
    assert decide(candidate, floor, target_ci=0.02) is verdict


@settings(max_examples=100, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(1.0, 1.5), st.sampled_from([QUIET, NOISY, None]))
@example(0.95, 1.0, NOISY)  # just as far from 1 as the floor: rounding must not decide it
def test_swapping_the_arms_swaps_the_verdict(centre, width, floor):
    swapped = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    there = ratio(centre / width, centre * width)
    back = ratio(1 / there.high, 1 / there.low)
    verdict = decide(there, floor, 0.0213)
    assert decide(back, floor, 0.0213) is swapped.get(verdict, verdict)


def test_an_adjusted_p_value_can_take_a_verdict_back():
    assert decide(ratio(1.02, 1.06), QUIET, 0.02, p_value=0.01) is Verdict.FASTER
    assert decide(ratio(1.02, 1.06), QUIET, 0.02, p_value=0.2) is Verdict.INCONCLUSIVE


def test_the_floor_is_the_far_end_of_the_controls_interval():
    assert floor_magnitude(NOISY) == pytest.approx(1 / 0.95 - 1)
    assert floor_magnitude(None) == 0
    assert margin(QUIET, 0.02) == 0.02
    assert margin(NOISY, 0.02) == pytest.approx(1 / 0.95 - 1)


@pytest.mark.parametrize("target_ci", [0.0, -0.01, math.nan, math.inf])
def test_a_precision_that_cannot_be_reached_is_refused(target_ci):
    with pytest.raises(HarnessError, match="target_ci must be a finite number greater than 0"):
        decide(QUIET, QUIET, target_ci)


def test_p_is_below_one_minus_confidence_exactly_where_the_interval_excludes_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = speedup(
            np.exp(0.01 * rng.standard_normal((3, 4)) + 0.01), np.exp(0.01 * rng.standard_normal((3, 4)))
        )
        assert (p_value(found) < 0.05) == found.excludes_one()


def test_p_of_arms_without_any_spread():
    assert p_value(speedup([[1.0, 1.0]], [[1.0, 1.0]])) == 1.0
    assert p_value(speedup([[2.0, 2.0]], [[1.0, 1.0]])) == 0.0


p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(deadline=None)
@given(p_lists)
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.5):
        rejected, order = set(), np.argsort(p, kind="stable")
        for step, index in enumerate(order):
            if p[index] * (len(p) - step) > alpha:
                break
            rejected.add(int(index))
        assert rejected == {i for i, value in enumerate(adjusted) if value <= alpha}


@settings(deadline=None)
@given(p_lists)
def test_benjamini_hochberg_is_the_step_up_procedure(p):
    ranked = sorted(p)
    adjusted = [min(ranked[k] * len(p) / (k + 1) for k in range(rank, len(p))) for rank in range(len(p))]
    expected = dict(zip(ranked, adjusted, strict=True))  # of equal values the last one's is the smallest
    assert benjamini_hochberg(p) == pytest.approx([min(1.0, expected[value]) for value in p])


@settings(deadline=None)
@given(p_lists)
def test_adjusting_raises_p_values_and_keeps_their_order(p):
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert np.all(adjusted >= np.array(p) - 1e-12)
        assert all(a <= b for a, b in pairwise(adjusted[np.argsort(p, kind="stable")]))
    assert np.all(benjamini_hochberg(p) <= holm(p) + 1e-12)


@pytest.mark.parametrize("p", [[], [1.2], [-0.1], [math.nan]])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(HarnessError, match="p-values"):
        holm(p)
