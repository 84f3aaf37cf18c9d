"""How many threads a Record's Session really used, against its budget."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from harness.analysis.arms import Event


def thread_columns(blocks: Sequence[Event]) -> dict[str, Any]:
    """Return `threads_used` and `cpu_utilisation` (store/schema.py); None where the system does not tell."""
    counts = [event["threads_used"] for event in blocks if event.get("threads_used") is not None]
    known = [event["evidence"] for event in blocks if event["evidence"].get("cpu_s") is not None]
    wall_s = sum(evidence["wall_s"] for evidence in known)
    return {
        "threads_used": round(statistics.median_high(counts)) if counts else None,
        "cpu_utilisation": sum(e["cpu_s"] for e in known) / wall_s if wall_s else None,
    }


def thread_warnings(used: int | None, budget: int | None) -> list[str]:
    """Say where the threads that worked are not those of the budget."""
    if used is None or budget is None or used == budget:
        return []
    if used > budget:
        return [f"{used} threads worked, more than the {budget} of its budget"]
    return [f"only {used} of the {budget} threads of its budget worked"]
