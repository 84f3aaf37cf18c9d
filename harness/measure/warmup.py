"""Warm-up: short Blocks until calls are steady by a stated test, or until a cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.measure.blocks import Block, calls_for
from harness.stats.steady import find_steady

SHARE_OF_BLOCK = 0.2
"""A warm-up Block is this much of a timed Block."""

RECENT = 5
"""A call's length is the median of so many last Blocks: one disturbed Block must not set it."""


@dataclass(frozen=True)
class Warmth:
    """How warm-up ended: calls made, seconds spent, whether steady, and seconds of one call at the end.

    `search` says how a load was found, where one was looked for.
    """

    calls: int
    seconds: float
    steady: bool
    call_s: float
    search: dict[str, Any] = field(default_factory=dict)


def warm_up(run: Callable[[int], Block], block_s: float, cap_s: float) -> Warmth:
    """Call `run(count)` until the Blocks' medians are steady (stats/steady.py) or `cap_s` has passed.

    At least one Block is run, whatever the cap, so that a call's length is known.
    """
    medians: list[float] = []
    lengths: list[float] = []
    calls, seconds, steady, per_call = 0, 0.0, False, 0.0
    count = 1
    while not steady and (not medians or seconds < cap_s):
        block = run(count)
        calls += block.calls
        seconds += block.duration_ns / 1e9
        # the Block's wall time, not its median call: replicas answer several calls at once
        lengths.append(max(block.duration_ns / block.calls / 1e9, 1e-9))
        per_call = float(np.median(lengths[-RECENT:]))
        medians.append(max(float(np.median(block.samples_ns)) / 1e9, 1e-9))
        count = calls_for(block_s * SHARE_OF_BLOCK, per_call)
        steady = find_steady(medians).steady
    return Warmth(calls, seconds, steady, per_call)
