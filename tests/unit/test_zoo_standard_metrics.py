"""Standard metrics against values that were computed by hand or by another library."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from harness.errors import DataError
from harness.zoo.registry import METRICS

RNG = np.random.default_rng(0)


def value(name: str, outputs: np.ndarray, truth: np.ndarray) -> float:
    metric = METRICS.get(name)
    scores = metric.score((np.asarray(outputs),), np.asarray(truth))
    return float((metric.whole(scores) if hasattr(metric, "whole") else scores).mean())


def test_top5_counts_the_five_largest_and_the_first_of_equal_ones() -> None:
    logits = np.array([[9, 8, 7, 6, 5, 4.0], [9, 8, 7, 6, 5, 4.0], [0, 0, 0, 0, 0, 0.0]])
    assert METRICS.get("top-5").score((logits,), np.array([4, 5, 4])).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="more than 5 classes"):
        METRICS.get("top-5").score((np.zeros((2, 5)),), np.zeros(2, int))


def test_macro_f1_is_the_mean_over_classes() -> None:
    logits, labels = np.eye(3)[[0, 0, 1, 1, 1]], np.array([0, 1, 1, 1, 2])
    # class 0: 2/3; class 1: 2·2/(3+3); class 2: never predicted, 0
    assert value("f1", logits, labels) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_mean_iou_counts_pixels_of_all_images_and_leaves_unlabelled_ones_out() -> None:
    labels = np.array([[[0, 0], [1, 255]], [[1, 1], [1, -1]]])
    found = np.array([[[0, 1], [1, 1]], [[1, 1], [0, 0]]])
    logits = np.eye(2)[found]
    # class 0: 1 of {2 labels + 2 found - 1}; class 1: 3 of {4 + 4 - 3}
    assert value("mean-iou", logits, labels) == pytest.approx((1 / 3 + 3 / 5) / 2)


def test_label_255_is_a_class_where_there_are_so_many() -> None:
    logits = np.zeros((1, 2, 256))
    assert value("bits-per-byte", logits, np.array([[255, 3]])) == pytest.approx(8)


def test_regression_metrics_equal_their_formulas() -> None:
    truth, noise = RNG.standard_normal((300, 2)), RNG.standard_normal((300, 2))
    found = truth + 0.3 * noise
    assert value("mae", found, truth) == pytest.approx(np.abs(0.3 * noise).mean())
    assert value("rmse", found, truth) == pytest.approx(np.sqrt((0.09 * noise**2).mean()))
    r2 = 1 - ((found - truth) ** 2).sum(axis=0) / ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    assert value("r2", found, truth) == pytest.approx(r2.mean())
    rho = [spearmanr(found[:, i], truth[:, i]).statistic for i in range(2)]
    assert value("rank-correlation", found, truth) == pytest.approx(np.mean(rho))


def test_labels_without_the_last_axis_fit_one_number_per_sample() -> None:
    assert value("rmse", np.array([[1.0], [2.0]]), np.array([1.0, 4.0])) == pytest.approx(np.sqrt(2))
    with pytest.raises(DataError, match="rmse takes"):
        value("rmse", np.zeros((2, 3)), np.zeros(2))


def test_relative_error_is_one_for_zeros_and_knows_no_sign_or_scale_alone() -> None:
    reference = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1e200, 0.0]])
    found = np.array([[0.0, 0.0], [6.0, 8.0], [0.0, 0.0], [1.0, 0.0], [1e200, 1e199]])
    scores = METRICS.get("relative-error").score((found,), reference)
    assert scores.tolist() == pytest.approx([1.0, 1.0, 0.0, np.inf, 0.1])
    assert METRICS.get("relative-error").score((np.full((1, 2), np.nan),), reference[:1]).tolist() == [np.inf]


def test_perplexity_is_that_of_all_tokens_together() -> None:
    logits = np.log(np.array([[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.5, 0.5]]]))
    labels = np.array([[0, 0], [1, -100]])
    assert value("perplexity", logits, labels) == pytest.approx(np.exp(-np.log([0.5, 0.25, 0.1]).mean()))


def test_nan_is_a_wrong_prediction_and_makes_errors_infinite() -> None:
    logits = np.array([[np.nan, 1.0], [0.0, 1.0]])
    assert value("f1", logits, np.array([1, 1])) == pytest.approx(2 / 3)
    assert value("rmse", np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == np.inf
    assert np.isnan(value("r2", np.array([np.nan, 1.0]), np.array([1.0, 2.0])))


def test_agreement_of_integer_outputs_compares_the_values() -> None:
    scores = METRICS.get("agreement").score((np.array([[1, 2], [3, 4]]),), np.array([[1, 2], [3, 5]]))
    assert scores.tolist() == [1.0, 0.5]


def test_agreement_does_not_fit_where_it_could_not_fail() -> None:
    agreement = METRICS.get("agreement")
    one = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert "could not fail" in (agreement.misfit((one,), one) or "")
    assert "2 classes" in (agreement.misfit((one[:, :1],), one[:, :1]) or "")
    assert agreement.misfit((np.eye(2),), np.eye(2)) is None
