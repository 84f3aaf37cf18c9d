"""Metrics against plain loops, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo.registry import METRICS

RNG = np.random.default_rng(0)
NAN, INF = math.nan, math.inf


def score(name, outputs, truth):
    result = METRICS.get(name).score((np.asarray(outputs),), np.asarray(truth))
    assert result.dtype == np.float64
    return result


def slow_cosine(a, b):
    a, b = [float(x) for x in np.ravel(a)], [float(x) for x in np.ravel(b)]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def test_every_metric_says_what_it_is():
    units = {"top-1": "pt", "agreement": "pt", "bits-per-byte": "bits"}
    for name in ("top-1", "agreement", "cosine", "max-error", "bits-per-byte"):
        metric = METRICS.get(name)
        assert metric.name == name
        assert metric.summary
        assert metric.unit == units.get(name, "")
        assert metric.higher_is_better is (name not in ("max-error", "bits-per-byte"))
        assert metric.needs_reference is (name not in ("top-1", "bits-per-byte"))


def test_top1_equals_a_plain_loop():
    logits, labels = RNG.integers(-3, 3, (200, 5)).astype(np.float32), RNG.integers(0, 5, 200)
    expected = [float(list(row).index(max(row)) == label) for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_array_equal(score("top-1", logits, labels), expected)


def test_top1_looks_at_the_first_output_only():
    first, second = np.eye(3), np.zeros((3, 7))
    np.testing.assert_array_equal(METRICS.get("top-1").score((first, second), np.arange(3)), [1, 1, 1])


def test_nan_never_counts_as_right():
    logits = [[NAN, 0.0], [1.0, NAN], [1.0, 0.0]]
    np.testing.assert_array_equal(score("top-1", logits, [0, 0, 0]), [0, 0, 1])
    np.testing.assert_array_equal(score("agreement", logits, logits), [0, 0, 1])
    np.testing.assert_array_equal(score("cosine", logits, logits), [0, 0, 1])
    np.testing.assert_array_equal(score("max-error", logits, logits), [INF, INF, 0])


def test_agreement_equals_a_plain_loop():
    found, reference = (RNG.integers(-2, 3, (100, 4)).astype(np.float32) for _ in range(2))
    expected = [
        float(list(a).index(max(a)) == list(b).index(max(b))) for a, b in zip(found, reference, strict=True)
    ]
    np.testing.assert_array_equal(score("agreement", found, reference), expected)


def test_agreement_of_a_sequence_is_the_share_of_positions():
    reference = np.eye(4)[None]
    found = reference.copy()
    found[0, 0] = [0, 0, 0, 9]
    np.testing.assert_array_equal(score("agreement", found, reference), [0.75])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cosine_equals_a_plain_loop(dtype):
    found, reference = (RNG.standard_normal((50, 3, 7)).astype(dtype) for _ in range(2))
    expected = [slow_cosine(a, b) for a, b in zip(found, reference, strict=True)]
    np.testing.assert_allclose(score("cosine", found, reference), expected, rtol=1e-12)


def test_cosine_at_its_edges():
    reference = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1e300, 1e300], [1e-300, 0.0], [INF, 0.0], [1.0, 2.0]]
    found = [[0.0, 0.0], [0.0, 0.0], [-1.0, -1.0], [1e300, 1e300], [1e-300, 0.0], [INF, 0.0], [2.0, 4.0]]
    np.testing.assert_allclose(score("cosine", found, reference), [1, 0, -1, 1, 1, 0, 1], atol=1e-12)


def test_max_error_equals_a_plain_loop():
    found, reference = (RNG.standard_normal((50, 3, 7)).astype(np.float32) for _ in range(2))
    expected = [
        max(abs(float(x) - float(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True))
        for a, b in zip(found, reference, strict=True)
    ]
    np.testing.assert_array_equal(score("max-error", found, reference), expected)


def test_equal_infinities_are_no_error_and_opposite_ones_are():
    np.testing.assert_array_equal(
        score("max-error", [[INF], [INF], [1.0]], [[INF], [-INF], [INF]]), [0, INF, INF]
    )


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.zeros((3, 2)), np.zeros((3, 1), int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((3, 2, 2)), np.zeros(3, int)),
        (np.zeros((3, 0)), np.zeros(3, int)),
        (np.zeros((3, 2)), np.zeros(3)),
        (np.zeros((3, 2)), np.full(3, 2)),
        (np.zeros((3, 2)), np.full(3, -1)),
    ],
)
def test_top1_refuses_what_does_not_fit(outputs, labels):
    with pytest.raises(DataError, match="top-1 takes"):
        score("top-1", outputs, labels)


@pytest.mark.parametrize("name", ["agreement", "cosine", "max-error"])
@pytest.mark.parametrize(
    ("found", "reference"),
    [((3, 2), (3, 3)), ((3, 2), (2, 2)), ((3, 2), (3, 2, 1)), ((), ()), ((3, 0), (3, 0))],
)
def test_fidelity_refuses_unequal_shapes(name, found, reference):
    with pytest.raises(DataError, match=f"{name} takes"):
        score(name, np.zeros(found), np.zeros(reference))


@pytest.mark.parametrize("name", ["top-1", "agreement", "cosine", "max-error"])
def test_no_outputs_are_refused(name):
    with pytest.raises(DataError, match=f"{name} takes"):
        METRICS.get(name).score((), np.zeros(3, int))


def test_bits_per_byte_equals_a_plain_loop():
    logits, truth = 3 * RNG.standard_normal((4, 6, 5)), RNG.integers(0, 5, (4, 6))
    expected = [
        math.fsum(
            -math.log2(math.exp(row[label]) / math.fsum(map(math.exp, row)))
            for row, label in zip(sample, labels, strict=True)
        )
        / 6
        for sample, labels in zip(logits, truth, strict=True)
    ]
    np.testing.assert_allclose(score("bits-per-byte", logits, truth), expected, rtol=1e-12)


def test_bits_per_byte_of_a_model_that_knows_nothing_is_8_and_large_logits_do_not_overflow():
    truth = RNG.integers(0, 256, (3, 7))
    np.testing.assert_allclose(score("bits-per-byte", np.zeros((3, 7, 256), np.float32), truth), 8.0)
    sure = np.zeros((1, 2, 256), np.float32)
    sure[0, 0, 3] = sure[0, 1, 4] = 1e30
    np.testing.assert_allclose(score("bits-per-byte", sure, np.array([[3, 4]])), 0.0)
    assert score("bits-per-byte", np.full((1, 2, 256), NAN), np.array([[3, 4]])) == INF


@pytest.mark.parametrize(
    ("logits", "truth", "complaint"),
    [
        (np.zeros((2, 5)), np.zeros(2, int), "logits"),
        (np.zeros((2, 3, 5)), np.zeros((2, 4), int), "labels"),
        (np.zeros((2, 3, 5)), np.zeros((2, 3)), "integer labels"),
        (np.zeros((2, 3, 5)), np.full((2, 3), 5), "from 0 to 4"),
    ],
)
def test_bits_per_byte_refuses_what_does_not_fit(logits, truth, complaint):
    with pytest.raises(DataError, match=complaint):
        score("bits-per-byte", logits, truth)
