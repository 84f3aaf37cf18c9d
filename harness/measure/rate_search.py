"""The highest rate at which a percentile of latency holds a bound, kept at Block by Block.

After each Block the logarithm of the rate moves by GAIN times 1 - (share of queries over the bound / share
that may be): Robbins & Monro, "A stochastic approximation method", 1951. It comes to rest where just the
allowed share is over the bound, so the mean of the Blocks' rates is the answer (Polyak & Juditsky, 1992), and
over all Blocks together the percentile is at the bound. Raising the rate after each Block whose own
percentile held, and lowering it after the others, finds 5 to 8 % too much for an M/D/1 queue and Blocks of
662 queries: most have no burst, a few have a large one (`tests/unit/test_measure_serving.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.measure.blocks import Block

GAIN = 0.02
"""The rate rises by this share after a Block that was never over the bound."""
LARGEST_FALL = 5.0
"""A Block that is over the bound altogether lowers the rate by so many gains, not a hundred."""


@dataclass
class RateSearch:
    """`rate` is the rate of the next Block, in queries a second; `bound_s` and `q` say what is to hold.

    It never falls below `lowest`, where there is no queue that a lower rate could shorten.
    """

    rate: float
    bound_s: float
    q: float
    lowest: float = 0.0

    def note(self, block: Block) -> None:
        """Take in a Block that was measured at `rate`, and move the rate."""
        over = over_bound(block, self.bound_s)
        rate = self.rate * math.exp(GAIN * max(1.0 - over / (1.0 - self.q), -LARGEST_FALL))
        self.rate = max(rate, self.lowest)


def over_bound(block: Block, bound_s: float) -> float:
    """Return the share of queries slower than the bound; all of them where the queue grows without end."""
    if block.arrivals is not None and block.arrivals.utilization >= 1:
        return 1.0
    return float(np.mean(block.calls_ns > bound_s * 1e9))
