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
"""Most calls of one Block, so that a Block of a very fast call stays short of a million samples."""

Call = Callable[[], Any]


@dataclass(frozen=True)
class Arrivals:
    """Queries of a Block by their schedule, which was drawn for `asked_per_s` queries a second.

    int64 (calls,) each. `due_ns`: when each was to arrive, from the Block's start. `service_ns`: time of the
    call alone, while the Block's samples also hold the wait since `due_ns`.
    """

    asked_per_s: float
    due_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]

    @property
    def drawn_per_s(self) -> float:
        """Queries a second that were due by chance."""
        return len(self.due_ns) / max(int(self.due_ns[-1]), 1) * 1e9

    @property
    def utilization(self) -> float:
        """Share of the schedule's time that the calls take; from 1 on a queue grows without end."""
        return int(self.service_ns.sum()) / max(int(self.due_ns[-1]), 1)


@dataclass(frozen=True)
class Block:
    """`calls_ns`: duration of each call, int64 (calls,). `duration_ns`: wall time of the Block.

    `last` is the last call's output and `last_index` which of the distinct calls it was. Where queries came
    by a schedule, `arrivals` is that.
    """

    calls_ns: NDArray[np.int64]
    duration_ns: int
    last: Any
    last_index: int
    arrivals: Arrivals | None = None

    @property
    def calls(self) -> int:
        """Timed calls."""
        return len(self.calls_ns)


def set_aside_garbage() -> None:
    """Put all that is alive now out of the collector's sight (gc.freeze).

    With an ML library loaded one collection takes tens of milliseconds; after this, only what calls leave
    behind is looked at. Called once, when the model is loaded.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect garbage now, and not again until the end."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def time_in_turn(calls: Sequence[Call], count: int, clock: Clock, start: int = 0) -> Block:
    """Time `count` calls, taking `calls` in turn from number `start` on, each when the one before returned.

    A sample is the time between two clock readings, so it holds one reading and the loop's step: some 0.1 µs
    that `tests/perf` keeps an eye on. Raises ClockError when the clock goes backwards.
    """
    order = list(islice(cycle(calls), start, start + count))
    now = clock.now_ns
    with no_garbage_collection():
        stamps = [now()]
        append = stamps.append
        output = None
        for call in order:
            output = call()
            append(now())
    readings = np.asarray(stamps, dtype=np.int64)
    samples: NDArray[np.int64] = readings[1:] - readings[:-1]
    check_durations(samples)
    return Block(samples, elapsed_ns(stamps[0], stamps[-1]), output, (start + count - 1) % len(calls))


def grouped(calls: Sequence[Call], size: int) -> list[Call]:
    """Return calls that each make `size` of `calls` in turn and return the last one's output.

    So many that together they make each of `calls` equally often.
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
    """Calls of `call_s` that fill `seconds`: at least one, at most MAX_CALLS."""
    return round(min(max(seconds / max(call_s, 1e-9), 1), MAX_CALLS))
