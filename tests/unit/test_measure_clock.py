"""The clock: what it costs is known, and one that cannot time anything is refused in words."""

import numpy as np
import pytest
from clocks import FakeClock

from harness.errors import HarnessError
from harness.measure.clock import PerfClock, check_durations, cost_ns, elapsed_ns


def test_cost_is_one_step_of_a_clock_that_moves_with_every_reading() -> None:
    assert cost_ns(FakeClock(tick_ns=40), n=5) == 40


def test_cost_is_the_median_so_that_one_interruption_does_not_count() -> None:
    class Interrupted(FakeClock):
        def now_ns(self) -> int:
            if self.readings == 100:
                self.advance(10**9)
            return super().now_ns()

    assert cost_ns(Interrupted(tick_ns=40), n=9) == 40


def test_a_clock_that_goes_backwards_is_refused_wherever_it_is_met() -> None:
    with pytest.raises(HarnessError, match="backwards by 5 ns"):
        elapsed_ns(10, 5)
    with pytest.raises(HarnessError, match="backwards by 7 ns"):
        check_durations(np.array([3, -7, 4]))
    with pytest.raises(HarnessError, match="backwards"):
        cost_ns(FakeClock(tick_ns=-1), n=1)


def test_good_durations_and_an_empty_block_pass() -> None:
    check_durations(np.array([0, 1, 2]))
    check_durations(np.array([], dtype=np.int64))
    assert elapsed_ns(5, 5) == 0


def test_a_fake_clock_moves_only_as_it_is_told() -> None:
    clock = FakeClock(start_ns=100)
    assert (clock.now_ns(), clock.now_ns()) == (100, 100)
    clock.advance(50)
    assert clock.now_ns() == 150
    assert clock.readings == 3


def test_the_real_clock_never_goes_back() -> None:
    clock = PerfClock()
    readings = [clock.now_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert cost_ns(clock, n=5) > 0
