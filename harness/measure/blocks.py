"""Blocks: runs of consecutive timed calls, one clock reading between two calls and nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.clock import Clock, check_durations, elapsed_ns

MAX_CALLS = 20_000
"""Most calls of one Block, so that a Block of a very fast call stays short of a million samples."""

Call = Callable[[], Any]


@dataclass(frozen=True)
class Block:
    """`samples_ns`: duration of each call, int64 (calls,). `duration_ns`: wall time of the Block.

    `last` is the last call's output and `last_index` which of the distinct calls it was.
    """

    samples_ns: NDArray[np.int64]
    duration_ns: int
    last: Any
    last_index: int

    @property
    def calls(self) -> int:
        """Timed calls."""
        return len(self.samples_ns)


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


def time_in_turn(calls: Sequence[Call], count: int, clock: Clock) -> Block:
    """Time `count` calls, taking `calls` in turn, each started when the one before has returned.

    A sample is the time between two clock readings, so it holds one reading and the loop's step: some 0.1 µs
    that `tests/perf` keeps an eye on. Raises ClockError when the clock goes backwards.
    """
    order = list(islice(cycle(calls), count))
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
    return Block(samples, elapsed_ns(stamps[0], stamps[-1]), output, (count - 1) % len(calls))


def calls_for(seconds: float, call_s: float) -> int:
    """Calls of `call_s` that fill `seconds`: at least one, at most MAX_CALLS."""
    return round(min(max(seconds / max(call_s, 1e-9), 1), MAX_CALLS))
