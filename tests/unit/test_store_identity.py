"""What differs between two Records, and whether they are the same without a measurement."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import pytest

from harness.store.identity import DECIDING, KINDS, differences, identical
from harness.store.record import Record
from harness.store.schema import columns

SAME = Record(
    **dict.fromkeys((column.name for column in columns(Record) if column.required), "x"),
    **{f"{kind}_digest": "1" for kind in KINDS},
)


def test_a_record_has_a_digest_of_each_kind() -> None:
    assert {f"{kind}_digest" for kind in KINDS} <= {field.name for field in fields(Record)}


def other(*kinds: str, value: str | None = "2") -> Record:
    return replace(SAME, **{f"{kind}_digest": value for kind in kinds})


def test_what_differs_is_named_in_order() -> None:
    assert differences(SAME, replace(SAME)) == ()
    for kinds in itertools.combinations(KINDS, 2):
        assert differences(SAME, other(*kinds)) == kinds
    assert differences(SAME, other(*KINDS)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_unknown_is_no_difference(kind: str, value: str | None) -> None:
    assert differences(SAME, other(kind, value=value)) == ()
    assert differences(other(kind, value=value), other(kind, value=value)) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_decides_the_speed_makes_two_records_different(kind: str) -> None:
    assert identical(SAME, other(kind)) is (kind not in DECIDING)


def test_a_change_of_code_that_builds_the_same_artifact_is_no_change() -> None:
    """A commit that changes documentation cannot be a regression."""
    changed = other("code", "data", "technique", "weights")
    assert differences(SAME, changed) == ("code", "weights", "data", "technique")
    assert identical(SAME, changed) is True


@pytest.mark.parametrize("kind", DECIDING)
def test_where_a_digest_is_unknown_so_is_the_result(kind: str) -> None:
    unknown = other(kind, value=None)
    assert identical(SAME, unknown) is None
    assert identical(unknown, unknown) is None
    different = next(one for one in DECIDING if one != kind)
    assert identical(unknown, other(different)) is False


def test_records_of_older_runs_are_neither() -> None:
    old = other(*KINDS, value=None)
    assert identical(old, old) is None
    assert differences(old, SAME) == ()
