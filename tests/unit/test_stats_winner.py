"""The winner's interval covers its true ratio although it was chosen for its luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from harness.errors import HarnessError
from harness.stats.ratio import Ratio
from harness.stats.winner import critical_value, winner_interval

TRIALS = 4


def ratio_of(logs: np.ndarray, trials: int = TRIALS) -> Ratio:
    """The Ratio of one log-ratio per Trial, as `speedup` makes it."""
    center, se = float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(trials)
    ends = [math.exp(center + sign * stats.t.ppf(0.975, trials - 1) * se) for sign in (-1, 1)]
    return Ratio(math.exp(center), *ends, trials, 10 * trials, "t", True, 0.95, se, trials - 1)


def chosen(means: np.ndarray, repeats: int, seed: int, noise: float = 0.02):
    """Repeats of a Run: the winner's true log-ratio, its own Ratio, its adjusted interval."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        arms = means[:, None] + noise * rng.standard_normal((len(means), TRIALS))
        logs = arms - noise * rng.standard_normal(TRIALS)  # the baseline's noise is in all ratios
        best = int(logs.mean(axis=1).argmax())
        own = ratio_of(logs[best])
        others = [ratio_of(logs[best] - logs[arm]) for arm in range(len(means)) if arm != best]
        yield means[best], own, winner_interval(own, others)


def test_the_best_of_ten_equal_arms_is_covered_and_its_own_interval_would_not_do():
    naive, adjusted = 0, 0
    for truth, own, winner in chosen(np.zeros(10), repeats=1500, seed=1):
        naive += math.log(own.low) <= truth <= math.log(own.high)
        adjusted += math.log(winner.low) <= truth <= math.log(winner.high)
    assert 0.86 < naive / 1500 < 0.93
    assert adjusted / 1500 >= 0.95


@pytest.mark.parametrize(
    "means", [np.arange(10) * 0.01, np.repeat([0.0, 0.4], 5), np.array([0.0] * 9 + [0.2])]
)
def test_winners_of_unequal_arms_are_covered_too(means):
    found = list(chosen(means, repeats=800, seed=2))
    hits = sum(math.log(winner.low) <= truth <= math.log(winner.high) for truth, _, winner in found)
    assert hits / 800 >= 0.945


def test_a_clear_winner_hardly_pays_for_the_choice():
    clear = np.array([0.0] * 9 + [math.log(20)])
    for _, own, winner in chosen(clear, repeats=20, seed=3):
        assert winner.candidates == 1
        assert math.log(winner.high / winner.low) / math.log(own.high / own.low) == pytest.approx(
            1.043, abs=0.002
        )


def test_without_a_choice_the_interval_is_the_ratios_own():
    own = ratio_of(np.array([0.1, 0.12, 0.09, 0.13]))
    found = winner_interval(own, [])
    assert (found.low, found.high, found.candidates) == (pytest.approx(own.low), pytest.approx(own.high), 1)


def test_arms_that_look_alike_are_all_candidates():
    rng = np.random.default_rng(4)
    close = [ratio_of(0.02 * rng.standard_normal(TRIALS)) for _ in range(3)]
    far = ratio_of(math.log(50) + 0.02 * rng.standard_normal(TRIALS))
    assert winner_interval(close[0], [*close[1:], far]).candidates == 3


@pytest.mark.parametrize("df", [1, 3, 19])
def test_one_arm_and_the_better_of_two_have_students_quantile(df):
    # The better of two errs upwards as often as one arm errs to either side.
    for arms in (1, 2):
        assert critical_value(arms, df, 0.95) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-3)


@pytest.mark.parametrize(("arms", "df"), [(5, 3), (10, 3), (10, 9)])
def test_the_critical_value_is_that_of_the_largest_mean_over_its_own_error(arms, df):
    c = critical_value(arms, df, 0.95)
    covered, _ = integrate.quad(
        lambda s: (
            stats.chi.pdf(s * math.sqrt(df), df)
            * math.sqrt(df)
            * (stats.norm.cdf(c * s) ** arms - stats.norm.cdf(-c * s) ** arms)
        ),
        0,
        math.inf,
    )
    assert covered == pytest.approx(0.95, abs=1e-4)


def test_what_is_not_known_is_unbounded_and_a_bad_confidence_is_refused():
    unknown = Ratio(2.0, 0.0, math.inf, 1, 1, "t", False, 0.95, math.inf, 0.0)
    found = winner_interval(unknown, [unknown])
    assert (found.low, found.high, found.candidates) == (0.0, math.inf, 2)
    with pytest.raises(HarnessError, match="between 0 and 1"):
        winner_interval(unknown, [], confidence=1.0)
