"""Blocks: runs of consecutive timed calls, one clock reading between two calls and nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.clock import Clock, check_durations, elapsed_ns

MAX_CALLS = 20_000
"""Maximum calls of one Block: all durations are stored, and very fast calls would give too many."""

Call = Callable[[], Any]
Wake = Callable[[], None]
"""Called right before the first timed call of a Block, when everything else is ready."""


@dataclass(frozen=True)
class Arrivals:
    """The schedule of a Block's queries, drawn for `asked_per_s` queries a second.

    int64 (calls,) each. `due_ns`: when each query is due, from the Block's start. `service_ns`: time of the
    call alone; the Block's `calls_ns` also hold the wait since `due_ns`.
    """

    asked_per_s: float
    due_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]

    @property
    def drawn_per_s(self) -> float:
        """Queries a second that the random schedule contains."""
        return len(self.due_ns) / max(int(self.due_ns[-1]), 1) * 1e9

    @property
    def utilization(self) -> float:
        """Share of the schedule's time that the calls take; from 1 on the queue grows without limit."""
        return int(self.service_ns.sum()) / max(int(self.due_ns[-1]), 1)


@dataclass(frozen=True)
class Block:
    """`calls_ns`: duration of each call, int64 (calls,). `duration_ns`: wall time of the Block.

    `last` is the last call's output and `last_index` the index of that call among the distinct calls.
    `arrivals` is the schedule, where queries arrived by one.
    """

    calls_ns: NDArray[np.int64]
    duration_ns: int
    last: Any
    last_index: int
    arrivals: Arrivals | None = None

    @property
    def calls(self) -> int:
        """Number of timed calls."""
        return len(self.calls_ns)


def set_aside_garbage() -> None:
    """Exclude all live objects from garbage collection (gc.freeze).

    With an ML library loaded, one collection takes tens of milliseconds. After this call it looks only at
    objects that timed calls leave behind. Call it once, when the model is loaded.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect no garbage inside the `with` block; nothing is collected on entry either."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def at_once() -> None:
    """Do nothing before a Block."""


def time_in_turn(
    calls: Sequence[Call], count: int, clock: Clock, start: int = 0, wake: Wake = at_once
) -> Block:
    """Time `count` calls one after the other, taking `calls` in turn from number `start` on.

    A duration is the time between two clock readings, so it includes one reading and one step of the loop:
    about 0.1 µs, which `tests/perf` measures. Raises ClockError when the clock goes backwards.
    """
    order = list(islice(cycle(calls), start, start + count))
    now = clock.now_ns
    stamps: list[int] = []
    append = stamps.append
    output = None
    with no_garbage_collection():
        wake()
        append(now())
        for call in order:
            output = call()
            append(now())
    readings = np.asarray(stamps, dtype=np.int64)
    durations: NDArray[np.int64] = readings[1:] - readings[:-1]
    check_durations(durations)
    return Block(durations, elapsed_ns(stamps[0], stamps[-1]), output, (start + count - 1) % len(calls))


def grouped(calls: Sequence[Call], size: int) -> list[Call]:
    """Return calls that each run the next `size` of `calls` and return the output of the last one.

    There are enough of them that together they run each of `calls` equally often.
    """
    if size == 1:
        return list(calls)

    def joined(part: Sequence[Call]) -> Call:
        def query() -> Any:
            output = None
            for call in part:
                output = call()
            return output

        return query

    number = len(calls) // gcd(len(calls), size)
    order = list(islice(cycle(calls), number * size))
    return [joined(order[i * size : (i + 1) * size]) for i in range(number)]


def calls_for(seconds: float, call_s: float) -> int:
    """Return how many calls of `call_s` seconds fill `seconds`: at least one, at most MAX_CALLS."""
    return round(min(max(seconds / max(call_s, 1e-9), 1), MAX_CALLS))


def slow_down(calls: Sequence[Call], wait_ns: int, clock: Clock) -> list[Call]:
    """Return `calls`, each followed by a busy-wait of `wait_ns` nanoseconds that is part of the call.

    `harness noise` injects this known slow-down to see whether it is found. The wait is busy because a
    sleeping core becomes idle and slows down what follows. The wrapper itself adds about 0.2 µs.
    """
    now = clock.now_ns

    def slowed(call: Call) -> Call:
        def query() -> Any:
            output = call()
            end = now() + wait_ns
            while now() < end:
                pass
            return output

        return query

    return [slowed(call) for call in calls]
