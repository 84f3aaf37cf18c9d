"""The default metric and the class axis, found from outputs and labels."""

import numpy as np
import pytest

from harness.suite.schema import Quality
from harness.zoo.default_metric import class_axis, default_metric
from harness.zoo.registry import METRICS

RNG = np.random.default_rng(0)


def outputs(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("output", "labels", "metric"),
    [
        (outputs(8, 10), None, "agreement"),
        (outputs(8), None, "relative-error"),
        (outputs(8, 1), None, "relative-error"),
        (outputs(8, 1, 16, 16), None, "relative-error"),  # a map of scores has no classes
        (outputs(8, 5, 16, 16), None, "relative-error"),
        (outputs(8, 12, 32), None, "relative-error"),
        (np.eye(3)[[1] * 8], None, "relative-error"),  # one class only: agreement could not fail
        (RNG.integers(0, 9, (8, 4)), None, "agreement"),
        (outputs(8, 10), RNG.integers(0, 10, 8), "top-1"),
        (outputs(8, 12, 30), RNG.integers(0, 30, (8, 12)), "top-1"),
        (outputs(8, 3, 16, 16), RNG.integers(0, 3, (8, 16, 16)), "mean-iou"),
        (outputs(8, 1), np.array([0, 1] * 4), "top-1"),
        (outputs(8, 1), RNG.standard_normal(8), "rmse"),
        (outputs(8, 1), np.arange(8), "rmse"),
    ],
)
def test_the_default_metric_follows_outputs_and_labels(output, labels, metric) -> None:
    assert default_metric(output, labels).metric == metric


def test_an_embedding_is_compared_by_its_direction() -> None:
    assert default_metric(outputs(8, 10), None, "sentence_embedding").metric == "cosine"


@pytest.mark.parametrize(
    ("shape", "labels", "axis"),
    [
        ((8, 10), (8,), 1),
        ((8, 10), (8, 1), 1),
        ((8, 4, 16, 20), (8, 16, 20), 1),
        ((8, 16, 20, 4), (8, 16, 20), 3),
        ((8, 12, 30), (8, 12), 2),
        ((8, 30, 12), (8, 12), 1),
        ((8, 10), (8, 3), None),
        ((8, 1), (8,), None),
        ((8, 4, 16, 20), None, 1),
        ((8, 16, 20, 4), None, 3),
        ((8, 12, 30), None, 2),
        ((8, 1), None, None),
    ],
)
def test_the_class_axis_is_found(shape, labels, axis) -> None:
    assert class_axis(shape, None if labels is None else np.zeros(labels, int)) == axis


def test_integer_outputs_of_the_labels_shape_are_classes():
    labels = np.array([0, 3, 7, 255])
    found = default_metric(np.array([0, 3, 5, 1]), labels)
    assert found.metric == "top-1"
    assert METRICS.get("top-1").score((np.array([0, 3, 5, 255]),), labels).tolist() == [1.0, 1.0, 0.0, 1.0]
    maps, truth = np.array([[[1, 2], [3, 4]]]), np.array([[[1, 9], [255, -1]]])
    assert METRICS.get("top-1").score((maps,), truth).tolist() == [0.5], "positions without a class"


def test_a_suites_budget_counts_before_the_metrics_own():
    assert Quality().budgets()["relative-error"] == 0.05
    assert Quality(by_metric={"cosine": 0.2}).budgets()["cosine"] == 0.2
    assert not {"rmse", "mae", "top-1"} & set(Quality().budgets())
