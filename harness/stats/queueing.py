"""One queue, one server, first come first served: waiting times computed from gaps and service times."""

from __future__ import annotations

import numpy as np

from harness.stats import checks
from harness.stats.checks import Array

FULL = 0.99
"""Highest utilization of a predicted rate: above it, a queue takes longer than any Block to become steady."""
IDLE = 0.05
"""Lowest utilization of a predicted rate: there is hardly a queue, and Blocks last 20 times their calls."""
_HALVINGS = 24


def waits(gaps: Array, service: Array) -> Array:
    """Return how long each query waits for its service, in the unit of `gaps` and `service`, (n,) each.

    `gaps[i]` is the time between arrivals i - 1 and i (the first is not used), `service[i]` the time that
    query i takes. Lindley's recursion W[i+1] = max(0, W[i] + S[i] - A[i+1]) from an empty queue (Lindley,
    "The theory of queues with a single server", 1952), computed with the running minimum of its sums.
    """
    steps = np.concatenate([[0.0], service[:-1] - gaps[1:]])
    sums = np.cumsum(steps)
    found: Array = sums - np.minimum.accumulate(np.minimum(sums, 0.0))
    return found


def highest_rate(service: Array, unit_gaps: Array, bound: float, q: float) -> float:
    """Return the highest arrival rate at which the q-quantile of wait plus service is within `bound`.

    `unit_gaps` (n,) are gaps at rate 1; `service` (n,) and `bound` are in seconds, the rate in 1/s. The rate
    gives a utilization between IDLE and FULL, even where the bound does not hold at IDLE. Raises HarnessError
    for a bound or service times <= 0.
    """
    checks.above_zero(bound, "bound")
    mean = checks.above_zero(float(np.mean(service)), "the mean service time")
    low, high = IDLE / mean, FULL / mean
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        held = np.quantile(waits(unit_gaps / middle, service) + service, q) <= bound
        low, high = (middle, high) if held else (low, middle)
    return low
