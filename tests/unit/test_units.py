"""Quantities as people write them, and as they are said."""

from __future__ import annotations

import pytest

from harness.units import parse_points, parse_seconds, parse_share, say_count, say_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20s", 20),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("2m", 120),
        ("2min", 120),
        ("1.5 h", 5400),
        (" .5s ", 0.5),
        ("1e3s", 1000),
        ("1e-3 s", 0.001),
        ("0s", 0),
        (3, 3),
        (2.5, 2.5),
    ],
)
def test_durations(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "20", "20 sec", "-3s", "2,5s", "2.5.1s", "1s 2s", "2%", "20S", "e3s"]
)
def test_no_durations(text):
    with pytest.raises(ValueError, match="is not a duration; write for example 500ms, 20s or 2m"):
        parse_seconds(text)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.5 %", 0.005), ("100%", 1), (0.02, 0.02)])
def test_shares(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "2", "0.02", "-2%", "2pt", "two%", "2%%", "2 percent"])
def test_no_shares(text):
    with pytest.raises(ValueError, match=r"is not a share; write for example 2% or 0\.02"):
        parse_share(text)


@pytest.mark.parametrize(("text", "points"), [("0.5pt", 0.5), ("0.5 pt", 0.5), ("1", 1), (0.25, 0.25)])
def test_points(text, points):
    assert parse_points(text) == points


@pytest.mark.parametrize("text", ["", "pt", "-1pt", "1%", "1pts", "half"])
def test_no_points(text):
    with pytest.raises(ValueError, match=r"is not a quality loss; write for example 0\.5pt"):
        parse_points(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (3.2, "3.2 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (242, "4 m 02 s"),
        (3600, "1 h 00 m"),
        (7505, "2 h 05 m"),
    ],
)
def test_seconds_are_said_as_people_say_them(seconds, text):
    assert say_seconds(seconds) == text


def test_almost_a_minute_is_not_sixty_seconds():
    assert say_seconds(59.7) == "1 m 00 s"
    assert say_seconds(9.97) == "10 s"


@pytest.mark.parametrize(("number", "text"), [(0, "0 Cells"), (1, "1 Cell"), (25, "25 Cells")])
def test_one_thing_is_not_plural(number, text):
    assert say_count(number, "Cell") == text
