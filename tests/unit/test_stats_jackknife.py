"""The jackknife: values of samples whose mean is the statistic, and whose spread is that of a bootstrap."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from harness.stats.jackknife import MAX_GROUPS, sample_values, sample_values_of_sums
from harness.stats.paired import paired_difference
from harness.zoo.registry import METRICS

RNG = np.random.default_rng(1)


def rows_of(name: str, n: int, noise: float, seed: int) -> np.ndarray:
    """A metric's rows for `n` samples: the same labels for each `noise`."""
    labels = np.random.default_rng(7).integers(0, 3, n)
    rng = np.random.default_rng(seed)
    if METRICS.get(name).__class__.__name__ == "ClassCounts":
        logits = np.eye(3)[labels] + noise * rng.standard_normal((n, 3))
        return METRICS.get(name).score((logits,), labels)
    truth = np.random.default_rng(7).standard_normal((n, 1))
    return METRICS.get(name).score((truth + noise * rng.standard_normal((n, 1)),), truth)


def directly(name: str, rows: np.ndarray) -> float:
    """The metric of all rows by its definition, without the jackknife."""
    if name == "rmse":
        return float(np.sqrt(rows[:, 0].mean()))
    if name in ("f1", "mean-iou"):
        hits, labels, found = rows.sum(axis=0).reshape(3, -1)
        shares = 2 * hits / (labels + found) if name == "f1" else hits / (labels + found - hits)
        return float(shares.mean())
    found, truth = rows.T
    if name == "rank-correlation":
        return float(spearmanr(found, truth).statistic)
    return float(1 - ((found - truth) ** 2).mean() / truth.var())


def test_of_a_mean_it_returns_the_samples_themselves() -> None:
    values = RNG.standard_normal(50)
    np.testing.assert_allclose(sample_values(50, lambda chosen: float(values[chosen].mean())), values)
    rows = np.column_stack([values, np.ones(50)])
    np.testing.assert_allclose(sample_values_of_sums(rows, lambda t: float(t[0] / t[1])), values)


@pytest.mark.parametrize("n", [150, 2000])
def test_groups_keep_the_mean_and_the_standard_error_of_a_mean(n: int) -> None:
    values = RNG.standard_normal(n)
    found = sample_values(n, lambda chosen: float(values[chosen].mean()))
    assert found.mean() == pytest.approx(values.mean())
    assert found.std(ddof=1) == pytest.approx(values.std(ddof=1), rel=0.15)
    assert (n > MAX_GROUPS) == (len(set(found.round(9))) < n)


@pytest.mark.parametrize("name", ["f1", "mean-iou", "rmse", "r2", "rank-correlation"])
def test_the_interval_of_a_difference_is_that_of_a_paired_bootstrap(name: str) -> None:
    n, metric = 600, METRICS.get(name)
    first, second = rows_of(name, n, 0.5, seed=1), rows_of(name, n, 0.7, seed=2)
    found = paired_difference(metric.whole(first), metric.whole(second), shares=False)
    rng = np.random.default_rng(3)
    drawn = [rng.integers(0, n, n) for _ in range(400)]
    differences = [directly(name, second[d]) - directly(name, first[d]) for d in drawn]
    assert found.estimate == pytest.approx(directly(name, second) - directly(name, first))
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(differences), rel=0.3)


def test_a_statistic_that_is_no_number_gives_no_number() -> None:
    assert np.isnan(sample_values(5, lambda chosen: float("nan"))).all()
    assert np.isnan(sample_values(5, lambda chosen: 1.0 if len(chosen) == 5 else float("nan"))).all()
    assert sample_values(1, lambda chosen: 0.5).tolist() == [0.5]
