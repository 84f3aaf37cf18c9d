"""The load that a scenario put on a Session: rates, shares over the bound, the search for a rate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analysis.records.arms import Event
from harness.store.arrays import unpack

OVER = 1.5
"""Times the allowed share over the bound from which on a rate counts as one that did not hold it."""


def load_columns(blocks: Sequence[Event], warm: Sequence[Event]) -> dict[str, Any]:
    """Return a Record's columns: rates are averaged as logarithms, shares by calls."""
    statistics = _facts(blocks)
    searches = _searches(warm)
    rates = [statistic["rate_per_s"] for statistic in statistics if statistic.get("rate_per_s")]
    columns: dict[str, Any] = {"search": json.dumps(searches) if searches else None}
    if rates:
        columns["qps"] = float(np.exp(np.mean(np.log(rates))))
    for name in ("over_bound_share", "utilization"):
        known = [
            (statistic[name], unpack(block["calls_ns"]).size)
            for statistic, block in zip(statistics, blocks, strict=True)
            if statistic.get(name) is not None
        ]
        if known:
            columns[name] = float(np.average([value for value, _ in known], weights=[n for _, n in known]))
    return columns


def load_warnings(columns: dict[str, Any], blocks: Sequence[Event], warm: Sequence[Event]) -> list[str]:
    """Say what a reader must know about the load."""
    found = []
    searches = _searches(warm)
    if lost := sum(not search.get("resolved", True) for search in searches):
        found.append(
            f"the search for the rate had not settled in {lost} of {len(searches)} Trials: give it more "
            "search_time"
        )
    allowed = max((statistic.get("allowed_share") or 0.0 for statistic in _facts(blocks)), default=0.0)
    over = columns.get("over_bound_share")
    if allowed and over is not None and over > OVER * allowed:
        found.append(
            f"{over:.1%} of the queries were over the bound, and {allowed:.1%} may be: the rate does not "
            "hold it"
        )
    if (columns.get("utilization") or 0.0) >= 1:
        found.append("more queries arrive than are answered: the queue grows, and latencies with its length")
    return found


def _searches(warm: Sequence[Event]) -> list[dict[str, Any]]:
    return [event["search"] for event in warm if event.get("search")]


def _facts(blocks: Sequence[Event]) -> list[dict[str, Any]]:
    return [block.get("statistics") or {} for block in blocks]
