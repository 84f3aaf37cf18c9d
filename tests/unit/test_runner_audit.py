"""The audit: timed answers must be those of the quality pass, rounding aside."""

import numpy as np
import pytest

from harness.runner.auditing import KEPT, RELATIVE, Audit, difference

ONES = np.ones((4, 3), np.float32)


def changed(value: float, array: np.ndarray = ONES) -> np.ndarray:
    copy = array.copy()
    copy[1, 1] = value
    return copy


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (ONES, ONES, None),
        (changed(1 + RELATIVE / 2), ONES, None),
        (changed(1 + 2 * RELATIVE), ONES, "off by 2.00e-03"),
        (ONES[:2], ONES, "shape (2, 3) when timed, (4, 3) in the quality pass"),
        (changed(np.nan), ONES, "NaN or infinity in one"),
        (changed(np.nan), changed(np.nan), None),
        (changed(np.inf), changed(np.inf), None),
        (changed(1e6), changed(1e6), None),
        (np.zeros((2, 2)), np.zeros((2, 2)), None),
        (np.array([1, 2]), np.array([1, 2]), None),
        (np.array([1, 2]), np.array([1, 3]), "other values"),
        (np.array([True]), np.array([False]), "other values"),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), None),
        (ONES.astype(np.float16), ONES, None),
    ],
)
def test_difference(ours: np.ndarray, theirs: np.ndarray, fault: str | None) -> None:
    found = difference(ours, theirs)
    assert (found is None) if fault is None else fault in (found or "")


def test_infinities_of_opposite_signs_differ() -> None:
    assert difference(changed(np.inf), changed(-np.inf)) is not None


def test_equal_answers_pass_and_unequal_ones_fail() -> None:
    audit = Audit()
    audit.keep(0, [ONES])
    audit.keep(1, [ONES])
    audit.check(0, 4, [ONES])
    assert audit.verdict() == {"state": "passed", "compared": 1, "faults": []}
    audit.check(1, 4, [2 * ONES])
    verdict = audit.verdict()
    assert verdict["state"] == "failed"
    assert "batch 1, output 0: off by" in verdict["faults"][0]


def test_without_anything_to_compare_there_is_no_verdict() -> None:
    audit = Audit()
    audit.keep(0, None)
    audit.check(0, 4, [ONES])
    assert audit.verdict()["state"] is None


def test_padding_of_the_last_batch_does_not_count() -> None:
    audit = Audit()
    audit.keep(0, [changed(5.0)])
    audit.check(0, 1, [ONES])  # the row that differs is no real item
    assert audit.verdict()["state"] == "passed"


def test_what_a_session_writes_over_is_kept_as_it_was() -> None:
    audit, answer = Audit(), ONES.copy()
    audit.keep(0, [answer])
    answer[:] = 0
    audit.check(0, 4, [ONES])
    assert audit.verdict()["state"] == "passed"


def test_another_number_of_outputs_is_a_fault_and_no_crash() -> None:
    audit = Audit()
    audit.keep(0, [ONES, ONES])
    audit.check(0, 4, [ONES])
    assert audit.verdict()["state"] == "failed"


def test_memory_is_bounded() -> None:
    audit = Audit()
    for _ in range(10 * KEPT):
        audit.keep(0, [ONES])
    audit.check(0, 4, [ONES])
    assert audit.verdict()["compared"] == KEPT
