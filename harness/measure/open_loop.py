"""Open loop: queries come by a schedule that was drawn before, whether the last one is answered or not.

A query's latency counts from when it was due. A slow answer so delays all that are due behind it, as it does
for a server's clients. Counted from the start of each call their wait would be lost: "coordinated omission".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from harness.measure.blocks import Arrivals, Block, Call, no_garbage_collection
from harness.measure.clock import Clock, check_durations, elapsed_ns

Seed = tuple[int, ...]


def unit_gaps(count: int, seed: Seed) -> NDArray[np.float64]:
    """Return `count` gaps of a Poisson process of rate 1: exponential, seeded."""
    return np.random.default_rng(seed).exponential(1.0, count)


def poisson_schedule(rate_per_s: float, count: int, seed: Seed) -> NDArray[np.int64]:
    """Return when `count` queries are due, in nanoseconds from the start, int64 (count,).

    The same seed gives the same queries at any rate, only closer together.
    """
    due_s = np.cumsum(unit_gaps(count, seed)) / rate_per_s
    return np.maximum(np.round(due_s * 1e9), 1).astype(np.int64)


def time_arrivals(
    calls: Sequence[Call], due_ns: NDArray[np.int64], asked_per_s: float, clock: Clock, first: int = 0
) -> Block:
    """Answer queries as they are due, one at a time, first come first served; samples count from `due_ns`.

    `calls` are taken in turn from number `first` on. Raises ClockError when the clock goes backwards.
    """
    order = list(islice(cycle(calls), first, first + len(due_ns)))
    now, wait = clock.now_ns, clock.wait_until
    starts: list[int] = []
    ends: list[int] = []
    output = None
    with no_garbage_collection():
        begin = now()
        for call, due in zip(order, (due_ns + begin).tolist(), strict=True):
            start = now()
            if start < due:
                wait(due)
                start = now()
            output = call()
            starts.append(start)
            ends.append(now())
    started, ended = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    service: NDArray[np.int64] = ended - started
    latency: NDArray[np.int64] = ended - begin - due_ns
    check_durations(service)
    check_durations(latency)
    last = (first + len(order) - 1) % len(calls)
    return Block(latency, elapsed_ns(begin, ends[-1]), output, last, Arrivals(asked_per_s, due_ns, service))
