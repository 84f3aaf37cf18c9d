"""Quality sample by sample: exact tests against brute force, intervals against their exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.errors import HarnessError
from harness.stats.paired import mcnemar, paired_difference, proportion, tango


def scores(both: int, gains: int, losses: int, neither: int) -> tuple[list[int], list[int]]:
    baseline = [1] * both + [0] * gains + [1] * losses + [0] * neither
    candidate = [1] * both + [1] * gains + [0] * losses + [0] * neither
    return baseline, candidate


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12))
def test_few_discordant_samples_are_an_exact_binomial_test(gains, losses):
    n, fewer = gains + losses, min(gains, losses)
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)
    assert mcnemar(*scores(5, gains, losses, 5)) == pytest.approx(expected)


@pytest.mark.parametrize(("gains", "losses"), [(20, 10), (0, 30), (100, 140), (13, 13)])
def test_many_discordant_samples_are_the_mid_p_test(gains, losses):
    n, fewer = gains + losses, min(gains, losses)
    below = sum(math.comb(n, k) for k in range(fewer)) / 2**n
    expected = 1.0 if gains == losses else min(1.0, 2 * (below + math.comb(n, fewer) / 2**n / 2))
    assert mcnemar(*scores(9, gains, losses, 9)) == pytest.approx(expected)


def test_right_and_wrong_may_be_booleans():
    assert mcnemar(np.array([True, False]), np.array([True, True])) == 1.0


@pytest.mark.parametrize("gain_rate", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("loss_rate", [0.02, 0.1, 0.3])
def test_tangos_interval_covers_by_exact_enumeration(gain_rate, loss_rate):
    n, covered = 40, 0.0
    for gains in range(n + 1):
        for losses in range(n + 1 - gains):
            mass = stats.multinomial.pmf(
                [gains, losses, n - gains - losses], n, [gain_rate, loss_rate, 1 - gain_rate - loss_rate]
            )
            if mass > 1e-7:
                low, high = tango(gains, losses, n)
                covered += mass * (low - 1e-12 <= gain_rate - loss_rate <= high + 1e-12)
    # A score interval: right on average over rates, a little off at single ones.
    assert covered >= 0.925


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 100))
def test_tangos_ends_are_where_the_score_test_starts_to_reject(gains, losses, rest):
    n = gains + losses + rest
    if n == 0:
        return
    low, high = tango(gains, losses, n)
    assert -1 <= low <= (gains - losses) / n <= high <= 1
    assert tango(losses, gains, n) == pytest.approx((-high, -low))
    if gains + losses:
        # McNemar's score statistic is the one at 0.
        z = (gains - losses) / math.sqrt(gains + losses)
        assert (low > 0 or high < 0) == (abs(z) > stats.norm.ppf(0.975))


def test_no_discordant_sample_still_leaves_room():
    found = paired_difference(*scores(100, 0, 0, 0))
    assert (found.estimate, found.p, found.n, found.discordant) == (0, 1, 100, 0)
    assert found.high == pytest.approx(-found.low)
    assert 0.02 < found.high < 0.05


def test_scores_that_happen_to_be_one_are_no_shares():
    same = paired_difference([1.0] * 16, [1.0] * 16, shares=False)
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    assert paired_difference([1.0] * 16, [1.0] * 16).high > 0.1


def test_right_and_wrong_outputs_give_the_difference_in_accuracy():
    found = paired_difference(*scores(80, 3, 12, 5))
    assert found.estimate == pytest.approx(-0.09)
    assert found.high < 0
    assert found.p == mcnemar(*scores(80, 3, 12, 5))
    assert found.discordant == 15


def test_other_scores_are_a_paired_t():
    rng = np.random.default_rng(0)
    first = rng.random(30)
    second = first + 0.1 * rng.standard_normal(30)
    found, oracle = paired_difference(first, second, 0.9), stats.ttest_rel(second, first)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval(0.9)))
    assert found.p == pytest.approx(oracle.pvalue)
    assert found.discordant == 30


def test_scores_that_do_not_vary():
    assert paired_difference([0.5, 0.5], [0.5, 0.5]).p == 1.0
    assert paired_difference([0.5, 0.5], [0.75, 0.75]).p == 0.0
    alone = paired_difference([0.5], [0.7])
    assert (alone.low, alone.high, alone.p) == (-math.inf, math.inf, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), st.data())
def test_proportions_are_wilsons(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = proportion(successes, n)
    # The shares at which the score test just rejects (Wilson 1927), in closed form.
    z, share = stats.norm.ppf(0.975), successes / n
    center, pull = share + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(((center - half) / pull, (center + half) / pull), abs=1e-12)
    assert (low == 0, high == 1) == (successes == 0, successes == n)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar([], []), "no values"),
        (lambda: mcnemar([1], [1, 0]), "one score for each sample"),
        (lambda: mcnemar([0.5], [1]), "right or wrong"),
        (lambda: paired_difference([math.nan], [1.0]), "not a finite number"),
        (lambda: paired_difference([1.0], [1.0], 0.0), "between 0 and 1"),
        (lambda: proportion(3, 2), "3 of 2"),
        (lambda: proportion(0, 0), "n >= 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, message):
    with pytest.raises(HarnessError, match=message):
        call()
