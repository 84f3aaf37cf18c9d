"""Warm-up: short Blocks until calls are steady by a stated test, or until a cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.measure.blocks import Block, calls_for
from harness.stats.steady import WINDOW, is_steady

SHARE_OF_BLOCK = 0.2
"""Length of a warm-up Block as a share of a timed Block; shorter where the cap leaves less time."""
MIN_BLOCKS = 3
"""Minimum number of Blocks, even beyond the cap: the first call alone would give a wrong duration."""
RECENT = 5
"""A call's duration is the median over this number of last Blocks: one disturbed Block does not decide it."""


@dataclass(frozen=True)
class WarmUp:
    """The result of warm-up: calls made, seconds spent, whether steady, and a call's duration at the end.

    `call_s` is wall time over calls; `sample_s` is seconds per sample, the statistic that comparisons use.
    `search` holds how the highest rate was found, where a scenario searches for it.
    """

    calls: int
    seconds: float
    steady: bool
    call_s: float
    sample_s: float
    search: dict[str, Any] = field(default_factory=dict)


def warm_up(
    run: Callable[[int], Block],
    block_s: float,
    cap_s: float,
    lanes: int = 1,
    sample_s: Callable[[Block], float] = lambda block: float(np.median(block.calls_ns)) / 1e9,
) -> WarmUp:
    """Call `run(count)` until the last Blocks' medians are steady (stats/steady.py) or `cap_s` has passed.

    `lanes` calls run at the same time: a Block has a multiple of it, and with several lanes at least two
    calls each, so that no lane is idle while a call's duration is measured. `sample_s` returns a Block's
    seconds per sample, the statistic that comparisons use.
    """
    short_s = min(block_s * SHARE_OF_BLOCK, cap_s / (WINDOW + 2))
    medians: list[float] = []
    lengths: list[float] = []
    speeds: list[float] = []
    calls, seconds, steady, per_call = 0, 0.0, False, 0.0
    least = 1 if lanes == 1 else 2 * lanes
    count = least
    while not steady and (len(medians) < MIN_BLOCKS or seconds < cap_s):
        block = run(count)
        calls += block.calls
        seconds += block.duration_ns / 1e9
        # the Block's wall time, not its median call: replicas run several calls at once
        lengths.append(max(block.duration_ns / block.calls / 1e9, 1e-9))
        per_call = float(np.median(lengths[-RECENT:]))
        speeds.append(sample_s(block))
        medians.append(max(float(np.median(block.calls_ns)) / 1e9, 1e-9))
        count = max(whole(calls_for(short_s, per_call), lanes), least)
        steady = is_steady(medians[-WINDOW:])
    return WarmUp(calls, seconds, steady, per_call, float(np.median(speeds[-RECENT:])))


def whole(count: int, lanes: int) -> int:
    """Round up to a multiple of `lanes`."""
    return -(-count // lanes) * lanes
