"""The evaluation: a larger batch only where outputs do not depend on it, and a sample of the whole set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness.formats.tensors import Array
from harness.runner.workers.audits.registry import Audit
from harness.runner.workers.evaluation import NOT_TIMED, Evaluation
from harness.runner.workers.evaluation_data import EvaluationData
from harness.runtimes.registry import Session
from harness.store.arrays import unpack
from harness.zoo.registry import METRICS
from harness.zoo.user_metric import UserMetric

SAMPLES, WRONG = 45, (0, 7, 44)
INPUTS = np.random.default_rng(4).standard_normal((SAMPLES, 3)).astype(np.float32)
INPUTS[:, 0] *= 10.0 ** (np.arange(SAMPLES) % 5)  # samples whose ranges differ
LABELS = INPUTS.argmax(1)
LABELS[list(WRONG)] = (LABELS[list(WRONG)] + 1) % 3


class Fake(Session):
    """Returns `function` of its batch, and keeps the sizes of the batches that it gets."""

    def __init__(self, function: Callable[[Array], Array], fixed_batch: int | None = None) -> None:
        self.function, self.fixed_batch = function, fixed_batch
        self.sizes: list[int] = []
        self.closed = 0

    def bind(self, inputs: Sequence[Array]) -> Callable[[], tuple[Array, ...]]:
        def call() -> tuple[Array, ...]:
            self.sizes.append(len(inputs[0]))
            return (self.function(inputs[0]),)

        return call

    def close(self) -> None:
        self.closed += 1


class Seen(Audit):
    """Keeps the numbers of the batches that it is shown, and how many samples were real."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []

    def evaluated(self, batch: int, samples: int, inputs: Any, outputs: Any) -> None:
        self.batches.append((batch, samples))


def itself(batch: Array) -> Array:
    return batch


def rounded(batch: Array) -> Array:
    """As dynamic quantization: int8 by the largest magnitude of the whole batch."""
    scale = np.abs(batch).max() / 127
    return np.round(batch / scale) * scale


def evaluated(
    timed: Fake,
    other: Fake | None,
    batch: int | None,
    samples: int | None = None,
    timed_batch: int = 1,
    limit_s: float | None = None,
) -> tuple[dict[str, Any], Seen]:
    data, seen = EvaluationData((INPUTS,), LABELS, "top-1"), Seen()
    evaluation = Evaluation(
        timed,
        timed_batch,
        data.pool(timed_batch),
        data,
        [seen],
        lambda _batch: other,
        lambda: None,
        METRICS.get("top-1"),
        limit_s,
    )
    return evaluation.run(batch, samples, 0), seen


RIGHT = [float(i not in WRONG) for i in range(SAMPLES)]
POOL = [(i, 1) for i in range(16)]


def test_a_second_session_scores_at_the_larger_batch_and_audits_see_calls_as_timed() -> None:
    timed, other = Fake(itself, 1), Fake(itself, 8)
    found, seen = evaluated(timed, other, 8)
    assert unpack(found["scores"]).tolist() == RIGHT
    assert (found["batch"], found["set_samples"], found["warning"]) == (8, 45, "")
    assert "positions" not in found
    assert timed.sizes == [1] * (16 + 2 * 8)  # the batches that were timed, and two larger ones cut up
    assert other.sizes == [8] * (2 + 6)
    assert seen.batches == POOL + [(NOT_TIMED, 1)] * 16
    assert (timed.closed, other.closed) == (0, 1)


def test_where_outputs_depend_on_the_batch_quality_is_that_of_the_timed_one_and_the_record_warns() -> None:
    timed, other = Fake(rounded, 1), Fake(rounded, 8)
    found, seen = evaluated(timed, other, 8)
    at_one, at_eight = (
        np.concatenate([rounded(INPUTS[i : i + size]) for i in range(0, SAMPLES, size)]).argmax(1) == LABELS
        for size in (1, 8)
    )
    assert unpack(found["scores"]).tolist() == at_one.tolist()
    assert at_one.sum() > at_eight.sum() + 5  # so wrong would the larger batch have been
    assert found["batch"] == 1
    assert found["warning"].startswith(
        "quality is that of batch 1, as timed: the outputs at batch 8 are others, a timed call differs from "
    )
    assert seen.batches[:16] == POOL and len(seen.batches) > 16 + SAMPLES
    assert {batch for batch, _ in seen.batches[16:]} == {NOT_TIMED}
    assert other.closed == 1


def test_a_dependence_that_only_later_samples_show_is_found_too() -> None:
    def later(batch: Array) -> Array:
        return batch * 1.01 if len(batch) > 1 and (batch == INPUTS[19]).all(1).any() else batch

    found, _ = evaluated(Fake(later, 1), Fake(later, 8), 8)
    assert (found["batch"], bool(found["warning"])) == (1, True)


def test_a_session_that_takes_any_batch_serves_both() -> None:
    timed = Fake(itself)
    found, _ = evaluated(timed, None, 8)
    assert (found["batch"], found["warning"], timed.closed) == (8, "", 0)
    assert unpack(found["scores"]).tolist() == RIGHT
    assert timed.sizes[-6:] == [8] * 6


@pytest.mark.parametrize("other", [None, Fake(itself, 1)])
def test_an_artifact_made_for_one_batch_is_evaluated_at_it_without_a_warning(other: Fake | None) -> None:
    found, _ = evaluated(Fake(itself, 1), other, 8)
    assert (found["batch"], found["warning"]) == (1, "")
    assert unpack(found["scores"]).tolist() == RIGHT


def test_a_batch_that_fails_costs_no_evaluation() -> None:
    def breaks(batch: Array) -> Array:
        raise RuntimeError("out of memory\nat line 3")

    other = Fake(breaks, 8)
    found, _ = evaluated(Fake(itself, 1), other, 8)
    assert unpack(found["scores"]).tolist() == RIGHT
    assert found["warning"] == "quality is that of batch 1, as timed: batch 8 fails: out of memory"
    assert other.closed == 1


@pytest.mark.parametrize(
    ("timed_batch", "asked", "used"),
    [
        (4, 15, 12),  # whole timed batches
        (4, 4, 4),
        (16, 8, 16),  # never smaller than the timed one
        (1, 22, 22),
        (1, 23, 1),  # to compare two larger batches would take the whole set
        (1, None, 1),
    ],
)
def test_the_batch_is_a_multiple_of_the_timed_one_and_pays(timed_batch: int, asked: Any, used: int) -> None:
    found, _ = evaluated(Fake(itself, timed_batch), Fake(itself, used), asked, timed_batch=timed_batch)
    assert found["batch"] == used
    assert unpack(found["scores"]).tolist() == RIGHT


def test_without_settings_the_pass_itself_makes_the_calls_that_were_timed() -> None:
    timed = Fake(itself, 4)
    _, seen = evaluated(timed, None, None, timed_batch=4)
    assert timed.sizes == [4] * 12
    assert seen.batches == [(i, 4) for i in range(11)] + [(11, 1)]


@pytest.mark.parametrize("batch", [None, 8])
def test_a_limit_draws_the_same_samples_for_every_arm_and_batch(batch: int | None) -> None:
    found, seen = evaluated(Fake(itself, 1), Fake(itself, 8), batch, samples=20)
    positions = unpack(found["positions"])
    assert positions.tolist() == sorted(np.random.default_rng(0).choice(SAMPLES, 20, replace=False))
    assert unpack(found["scores"]).tolist() == [RIGHT[i] for i in positions]
    assert (found["batch"], found["set_samples"]) == (batch or 1, 45)
    assert seen.batches[:16] == POOL  # the audits still see all that was timed
    assert {number for number, _ in seen.batches[16:]} == {NOT_TIMED}


def test_a_limit_beyond_the_set_takes_all_of_it() -> None:
    found, _ = evaluated(Fake(itself, 1), None, None, samples=SAMPLES)
    assert "positions" not in found
    assert len(unpack(found["scores"])) == SAMPLES


def test_a_time_limit_ends_the_evaluation_and_keeps_the_scores_with_their_samples() -> None:
    found, _ = evaluated(Fake(itself), None, None, limit_s=1e-9)
    positions = unpack(found["positions"])
    assert len(positions) == 1  # one batch at least
    assert unpack(found["scores"]).tolist() == [RIGHT[i] for i in positions]
    assert found["set_samples"] == SAMPLES
    assert f"1 of {SAMPLES} samples" in found["warning"]


def test_a_time_limit_that_is_not_reached_changes_nothing() -> None:
    found, _ = evaluated(Fake(itself), None, None, limit_s=1e9)
    assert unpack(found["scores"]).tolist() == RIGHT  # in the set's order, although it was shuffled
    assert unpack(found["positions"]).tolist() == list(range(SAMPLES))
    assert found["warning"] == ""


def test_a_metric_of_all_samples_is_called_once_with_all_outputs_in_order() -> None:
    calls = []

    def score(outputs: Array, labels: Array) -> Array:
        calls.append(len(labels))
        return (outputs.argmax(axis=1) == labels).astype(float)

    data = EvaluationData((INPUTS,), LABELS, "nets:score")
    metric = UserMetric("nets:score", score)
    found = Evaluation(
        Fake(itself), 1, data.pool(1), data, [], lambda _batch: None, lambda: None, metric
    ).run(None, None, 0)
    assert unpack(found["scores"]).tolist() == RIGHT
    assert calls == [SAMPLES]
