"""Clocks: reading the time before and after each call, and the cost of one reading."""

from __future__ import annotations

import statistics
import time
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError

SPIN_NS = 1_000_000
"""The last part of a wait is a busy loop of this length: a sleeping thread wakes up to 0.1 ms late."""
_READINGS_A_BATCH = 63  # with the closing reading, 64 steps of the clock in each batch


class ClockError(HarnessError):
    """A clock that went backwards, so it cannot be used for timing."""


class Clock(Protocol):
    """A source of time in whole nanoseconds since an arbitrary start, which never goes backwards."""

    def now_ns(self) -> int:
        """Return the time in nanoseconds."""
        ...

    def wait_until(self, time_ns: int) -> None:
        """Return at `time_ns`, or at once when that has passed."""
        ...


class PerfClock:
    """The system's finest monotonic clock.

    `now_ns` is the built-in function itself, so that a reading needs no Python frame: bind it to a local name
    outside of the loop (``now = clock.now_ns``).
    """

    now_ns = staticmethod(time.perf_counter_ns)

    def wait_until(self, time_ns: int) -> None:
        """Sleep, then busy-wait for the last SPIN_NS."""
        now = time.perf_counter_ns
        if (left := time_ns - now() - SPIN_NS) > 0:
            time.sleep(left / 1e9)
        while now() < time_ns:
            pass


def elapsed_ns(before_ns: int, after_ns: int) -> int:
    """Return the time between two readings. Raises ClockError where the second is the earlier one."""
    if after_ns < before_ns:
        raise ClockError(_backwards(before_ns - after_ns))
    return after_ns - before_ns


def check_durations(durations_ns: NDArray[np.int64]) -> None:
    """Raise ClockError if any of a Block's durations is negative; called once, after the Block."""
    if durations_ns.size and (worst := int(durations_ns.min())) < 0:
        raise ClockError(_backwards(-worst))


def cost_ns(clock: Clock, n: int = 200) -> float:
    """Return the duration of one reading of `clock`, in nanoseconds: the median of `n` batches of 64 steps.

    One difference is taken over a batch, so that the cost is known even where the clock is coarser than it.
    """
    now = clock.now_ns
    costs = []
    for _ in range(n):
        start = now()
        for read in repeat(now, _READINGS_A_BATCH):
            read()
        costs.append(elapsed_ns(start, now()) / (_READINGS_A_BATCH + 1))
    return statistics.median(costs)


def _backwards(step_ns: int) -> str:
    return (
        f"the clock went backwards by {step_ns} ns, so no duration can be trusted: use a monotonic clock; "
        "on a virtual machine, check its clock source (harness doctor)"
    )
