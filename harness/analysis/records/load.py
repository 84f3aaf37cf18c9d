"""A Record's columns about the load of its scenario: rates, share over the bound, the search for a rate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analysis.records.arms import Event
from harness.store.arrays import unpack
from harness.store.record import Record

OVER = 1.5
"""A rate broke its latency bound if the share of queries over it is this many times the allowed share."""


def add_load(record: Record, blocks: Sequence[Event], warm: Sequence[Event]) -> None:
    """Fill the columns of the load: rates are averaged as logarithms, shares weighted by calls."""
    searches = _searches(warm)
    rates = [found["rate_per_s"] for found in map(_statistics, blocks) if found.get("rate_per_s")]
    record.search = json.dumps(searches) if searches else None
    record.qps = float(np.exp(np.mean(np.log(rates)))) if rates else None
    record.over_bound_share = _average(blocks, "over_bound_share")
    record.utilization = _average(blocks, "utilization")


def _average(blocks: Sequence[Event], name: str) -> float | None:
    """Return the mean of a statistic over the Blocks that have it, weighted by calls."""
    known = [
        (found[name], unpack(block["calls_ns"]).size)
        for block in blocks
        if (found := _statistics(block)).get(name) is not None
    ]
    if not known:
        return None
    return float(np.average([share for share, _ in known], weights=[calls for _, calls in known]))


def load_warnings(record: Record, blocks: Sequence[Event], warm: Sequence[Event]) -> list[str]:
    """Return what a reader must know about the load."""
    found = []
    searches = _searches(warm)
    if lost := sum(not search.get("resolved", True) for search in searches):
        found.append(
            f"the search for the rate had not converged in {lost} of {len(searches)} Trials: "
            "increase search_time"
        )
    allowed = max((_statistics(block).get("allowed_share") or 0.0 for block in blocks), default=0.0)
    over = record.over_bound_share
    if allowed and over is not None and over > OVER * allowed:
        found.append(
            f"{over:.1%} of the queries exceeded the latency bound and {allowed:.1%} are allowed: "
            "the rate is too high"
        )
    if (record.utilization or 0.0) >= 1:
        found.append("queries arrive faster than they are served: the queue and the latencies grow")
    return found


def _searches(warm: Sequence[Event]) -> list[dict[str, Any]]:
    return [event["search"] for event in warm if event.get("search")]


def _statistics(block: Event) -> dict[str, Any]:
    return block.get("statistics") or {}
