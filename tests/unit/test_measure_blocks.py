"""Blocks: what a duration is, what else happens while one is timed (nothing), and how long one is."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.blocks import (
    MAX_CALLS,
    calls_for,
    no_garbage_collection,
    set_aside_garbage,
    time_in_turn,
)
from harness.measure.clock import ClockError, PerfClock


def timed(clock: FakeClock, *steps_ns: int) -> list[Callable[[], int]]:
    """Calls that take so long on the clock, and return their own number."""

    def call(number: int, step_ns: int) -> Callable[[], int]:
        def run() -> int:
            clock.advance(step_ns)
            return number

        return run

    return [call(i, step) for i, step in enumerate(steps_ns)]


def test_a_calls_duration_is_the_time_from_one_reading_to_the_next() -> None:
    clock = FakeClock(start_ns=1_000, tick_ns=7)
    block = time_in_turn(timed(clock, 100, 200, 300), 5, clock)
    np.testing.assert_array_equal(block.calls_ns, [107, 207, 307, 107, 207])
    assert block.calls_ns.dtype == np.int64
    assert block.calls == 5
    assert block.duration_ns == 107 + 207 + 307 + 107 + 207
    assert clock.readings == 6  # one between two calls, and nothing else


def test_the_calls_of_a_block_add_up_to_its_duration() -> None:
    calls = [lambda: sum(range(50))]
    block = time_in_turn(calls, 200, PerfClock())
    assert block.calls_ns.sum() == block.duration_ns
    assert (block.calls_ns >= 0).all()


@pytest.mark.parametrize(("count", "last"), [(1, 0), (2, 1), (3, 2), (4, 0), (8, 1)])
def test_calls_are_taken_in_turn_and_the_last_output_is_kept(count: int, last: int) -> None:
    clock = FakeClock()
    made: list[int] = []
    calls = [lambda i=i: (made.append(i), i)[1] for i in range(3)]
    block = time_in_turn(calls, count, clock)
    assert made == [i % 3 for i in range(count)]
    assert block.last == last
    assert block.last_index == last


def test_no_garbage_is_collected_within_a_block_and_collecting_goes_on_after_it() -> None:
    seen: list[bool] = []
    time_in_turn([lambda: seen.append(gc.isenabled())], 3, PerfClock())
    assert seen == [False] * 3
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_call_that_raises() -> None:
    def fails() -> None:
        raise ValueError("as asked")

    with pytest.raises(ValueError, match="as asked"):
        time_in_turn([fails], 3, PerfClock())
    assert gc.isenabled()


def test_who_had_switched_collecting_off_finds_it_off() -> None:
    gc.disable()
    try:
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_nothing_stands_between_the_call_that_wakes_and_the_first_timed_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, happened = FakeClock(), []
    monkeypatch.setattr(gc, "collect", lambda: happened.append("collect"))
    monkeypatch.setattr(gc, "disable", lambda: happened.append("disable"))
    read = clock.now_ns
    clock.now_ns = lambda: (happened.append("clock"), read())[1]  # type: ignore[method-assign]
    time_in_turn([lambda: happened.append("call")], 2, clock, wake=lambda: happened.append("wake"))
    assert happened == ["disable", "wake", "clock", "call", "clock", "call", "clock"]


def test_a_clock_that_goes_backwards_is_refused_even_when_it_catches_up() -> None:
    clock = FakeClock()
    with pytest.raises(ClockError, match="backwards by 5 ns"):
        time_in_turn(timed(clock, 100, -5, 100), 3, clock)
    with pytest.raises(ClockError):
        time_in_turn(timed(clock, -5), 1, clock)


@pytest.mark.parametrize(
    ("seconds", "call_s", "calls"),
    [
        (0.1, 0.01, 10),
        (0.1, 0.0149, 7),
        (0.1, 5.0, 1),  # a call longer than a Block is one Block
        (0.1, 1e-9, MAX_CALLS),
        (0.1, 0.0, MAX_CALLS),
        (1e-12, 1.0, 1),
        (float("inf"), 1.0, MAX_CALLS),
    ],
)
def test_calls_of_a_block(seconds: float, call_s: float, calls: int) -> None:
    assert calls_for(seconds, call_s) == calls


@given(st.floats(1e-6, 1e3), st.floats(0, 1e3))
def test_a_block_has_a_call_and_never_too_many(seconds: float, call_s: float) -> None:
    assert 1 <= calls_for(seconds, call_s) <= MAX_CALLS


def test_what_is_set_aside_is_not_looked_at_again() -> None:
    gc.unfreeze()
    set_aside_garbage()
    try:
        assert gc.get_freeze_count() > 1_000
        assert len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
