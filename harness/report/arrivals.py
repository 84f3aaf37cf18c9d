"""What a Record says of queries that came by themselves: the rate, how it was found, and what it did."""

from __future__ import annotations

import json
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say


def arrivals(row: Comparison) -> list[tuple[str, str]]:
    """Return facts as name and text; none where queries waited for each other."""
    if row.qps is None:
        return []
    over, busy = row.over_bound_share, row.utilization
    return [
        ("rate", say.quantity(row.qps, "queries/s")),
        ("over the bound", "" if over is None else f"{say.percent(over)} of queries"),
        ("busy", "" if busy is None else f"{say.percent(busy)} of the time"),
        *_searches(row.search),
    ]


def _searches(text: Any) -> list[tuple[str, str]]:
    """Each Trial's predictions, the last of which its first Block began at."""
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return []
    return [
        (
            f"search, Trial {number}",
            " → ".join(say.quantity(rate, "queries/s") for rate in search.get("rates_per_s", ()))
            + ("" if search.get("resolved", True) else ", not settled"),
        )
        for number, search in enumerate(found, start=1)
        if isinstance(search, dict)
    ]
