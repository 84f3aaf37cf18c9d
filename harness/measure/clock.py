"""Clocks: what a Block reads before and after each call, what one reading costs, and how fine it is."""

from __future__ import annotations

import statistics
import time
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError

SPIN_NS = 1_000_000
"""Before a time that is waited for, this much is spun away; a sleeping thread wakes up to 0.1 ms late."""
_READINGS_A_BATCH = 63  # with the closing reading, 64 steps of the clock in each batch


class ClockError(HarnessError):
    """A clock that cannot time anything: it went backwards, or it stands still."""


class Clock(Protocol):
    """Anything that tells a time in whole nanoseconds from an arbitrary start and never goes back."""

    def now_ns(self) -> int:
        """Return the time in nanoseconds."""
        ...

    def wait_until(self, time_ns: int) -> None:
        """Return at `time_ns`, or at once when that has passed."""
        ...


class PerfClock:
    """The system's finest monotonic clock.

    `now_ns` is the built-in function itself, so that a reading costs no Python frame: bind it to a local
    name outside of the loop (``now = clock.now_ns``).
    """

    now_ns = staticmethod(time.perf_counter_ns)

    def wait_until(self, time_ns: int) -> None:
        """Sleep, and spin for the last SPIN_NS, since a sleeper is woken late."""
        now = time.perf_counter_ns
        if (left := time_ns - now() - SPIN_NS) > 0:
            time.sleep(left / 1e9)
        while now() < time_ns:
            pass


class FakeClock:
    """A clock for tests: it moves by `tick_ns` with every reading, and when told to.

    A fake Session calls `advance` to pretend that its call took that long; a negative step makes a clock
    that goes backwards.
    """

    def __init__(self, start_ns: int = 0, tick_ns: int = 0) -> None:
        self.time_ns = start_ns
        self.tick_ns = tick_ns
        self.readings = 0

    def now_ns(self) -> int:
        """Return the time, and move on by one tick."""
        time_ns = self.time_ns
        self.time_ns += self.tick_ns
        self.readings += 1
        return time_ns

    def advance(self, step_ns: int) -> None:
        """Let `step_ns` nanoseconds pass."""
        self.time_ns += step_ns

    def wait_until(self, time_ns: int) -> None:
        """Move on to `time_ns`."""
        self.time_ns = max(self.time_ns, time_ns)


def elapsed_ns(before_ns: int, after_ns: int) -> int:
    """Return the time between two readings, or raise ClockError where the second is the earlier one."""
    if after_ns < before_ns:
        raise ClockError(_backwards(before_ns - after_ns))
    return after_ns - before_ns


def check_durations(durations_ns: NDArray[np.int64]) -> None:
    """Raise ClockError if any of a Block's durations is negative; called once, after the Block."""
    if durations_ns.size and (worst := int(durations_ns.min())) < 0:
        raise ClockError(_backwards(-worst))


def cost_ns(clock: Clock, n: int = 200) -> float:
    """Return what one reading of `clock` costs, in nanoseconds: the median of `n` batches of 64 steps.

    The steps of a batch share one difference, so that a clock coarser than its own cost is still resolved.
    """
    now = clock.now_ns
    costs = []
    for _ in range(n):
        start = now()
        for read in repeat(now, _READINGS_A_BATCH):
            read()
        costs.append(elapsed_ns(start, now()) / (_READINGS_A_BATCH + 1))
    return statistics.median(costs)


def resolution_ns(clock: Clock, n: int = 2000) -> int:
    """Return the smallest step seen between `n` pairs of successive readings, in nanoseconds.

    No duration is known better than this. Raises ClockError for a clock that never moves.
    """
    now = clock.now_ns
    steps = []
    for _ in range(n):
        before = now()
        steps.append(elapsed_ns(before, now()))
    moved = [step for step in steps if step]
    if not moved:
        raise ClockError(
            f"the clock stands still: {n} pairs of readings showed no difference, use a finer clock"
        )
    return min(moved)


def _backwards(step_ns: int) -> str:
    return (
        f"the clock went backwards by {step_ns} ns, so no duration can be trusted: use a monotonic clock, "
        "and on a virtual machine check its clock source (harness doctor)"
    )
