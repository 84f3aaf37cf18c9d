"""Open loop: queries arrive by a schedule drawn in advance, whether or not the previous call has returned.

A query's latency counts from the time when it was due, so a slow call delays all queries behind it, as it
delays a server's clients. Latency counted from the start of each call would omit their wait ("coordinated
omission").

`RateSearch` finds the highest rate at which a percentile of latency holds a bound. After each Block it
changes the logarithm of the rate by GAIN times 1 - (share of queries over the bound / allowed share): Robbins
& Monro, "A stochastic approximation method", 1951. The rate converges to the one at which the allowed share
exceeds the bound, so the mean of the Blocks' rates is the result (Polyak & Juditsky, 1992), and over all
Blocks together the percentile equals the bound. A simpler rule, which raises the rate after each Block whose
own percentile held and lowers it otherwise, gives a rate that is 5 to 8 % too high for an M/D/1 queue and
Blocks of 662 queries: most Blocks have no burst, and a few have a large one
(`tests/unit/test_measure_serving.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from harness.measure.blocks import Arrivals, Block, Call, Wake, at_once, no_garbage_collection
from harness.measure.clock import Clock, check_durations, elapsed_ns

Seed = tuple[int, ...]
GAIN = 0.02
"""The rate rises by this share after a Block without a query over the bound."""
MAX_FALL = 5.0
"""Maximum fall of the logarithm of the rate after one Block, in units of GAIN."""


def unit_gaps(count: int, seed: Seed) -> NDArray[np.float64]:
    """Return `count` gaps of a Poisson process of rate 1: exponential, seeded."""
    return np.random.default_rng(seed).exponential(1.0, count)


def poisson_schedule(rate_per_s: float, count: int, seed: Seed) -> NDArray[np.int64]:
    """Return when `count` queries are due, in nanoseconds from the start, int64 (count,).

    The same seed gives the same sequence at every rate, with gaps scaled by the rate.
    """
    due_s = np.cumsum(unit_gaps(count, seed)) / rate_per_s
    return np.maximum(np.round(due_s * 1e9), 1).astype(np.int64)


def time_arrivals(
    calls: Sequence[Call],
    due_ns: NDArray[np.int64],
    asked_per_s: float,
    clock: Clock,
    first: int = 0,
    wake: Wake = at_once,
) -> Block:
    """Run queries when they are due, one at a time, first come first served; `calls_ns` count from `due_ns`.

    `calls` are taken in turn from number `first` on. Raises ClockError when the clock goes backwards.
    """
    order = list(islice(cycle(calls), first, first + len(due_ns)))
    schedule = due_ns.tolist()
    now, wait = clock.now_ns, clock.wait_until
    starts: list[int] = []
    ends: list[int] = []
    output = None
    with no_garbage_collection():
        wake()
        begin = now()
        for call, after_ns in zip(order, schedule, strict=True):
            due = begin + after_ns
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


@dataclass
class RateSearch:
    """Searches for the highest `rate` (queries a second) at which the q-quantile of latency is `bound_s`.

    `rate` is that of the next Block. It never falls below `lowest`, where there is no queue to shorten.
    """

    rate: float
    bound_s: float
    q: float
    lowest: float = 0.0

    def note(self, block: Block) -> None:
        """Change the rate by the result of a Block that was measured at it."""
        over = over_bound(block, self.bound_s)
        rate = self.rate * math.exp(GAIN * max(1.0 - over / (1.0 - self.q), -MAX_FALL))
        self.rate = max(rate, self.lowest)


def over_bound(block: Block, bound_s: float) -> float:
    """Return the share of queries slower than the bound; all of them where the queue grows without limit."""
    if block.arrivals is not None and block.arrivals.utilization >= 1:
        return 1.0
    return float(np.mean(block.calls_ns > bound_s * 1e9))
