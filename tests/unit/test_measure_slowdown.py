"""An injected slow-down is in the calls, exactly, and the outputs stay what they were."""

from __future__ import annotations

import numpy as np
import pytest
from clocks import FakeClock

from harness.measure.blocks import slow_down, time_in_turn
from harness.measure.clock import PerfClock


def calls(clock: FakeClock, *lengths_ns: int) -> list:
    def make(number: int, length_ns: int):
        def call() -> int:
            clock.advance(length_ns)
            return number

        return call

    return [make(i, length) for i, length in enumerate(lengths_ns)]


@pytest.mark.parametrize("wait_ns", [10, 200, 5_000])
def test_each_call_is_longer_by_the_wait(wait_ns: int) -> None:
    clock = FakeClock(tick_ns=1)
    plain = time_in_turn(calls(clock, 1_000, 3_000), 6, clock)
    slowed = time_in_turn(slow_down(calls(clock, 1_000, 3_000), wait_ns, clock), 6, clock)
    added = slowed.calls_ns - plain.calls_ns
    assert (added >= wait_ns).all()
    assert (added <= wait_ns + 3).all()  # readings of the clock
    assert slowed.last == plain.last


def test_without_a_wait_a_call_is_only_wrapped() -> None:
    clock = FakeClock()
    block = time_in_turn(slow_down(calls(clock, 100), 0, clock), 3, clock)
    np.testing.assert_array_equal(block.calls_ns, [100, 100, 100])


def test_on_a_real_clock_no_call_is_shorter_than_the_wait() -> None:
    clock = PerfClock()
    block = time_in_turn(slow_down([lambda: None], 50_000, clock), 20, clock)
    assert block.calls_ns.min() >= 50_000


def test_a_call_that_fails_fails_as_before() -> None:
    def broken() -> None:
        raise ValueError("no")

    (call,) = slow_down([broken], 10, FakeClock(tick_ns=1))
    with pytest.raises(ValueError, match="no"):
        call()
