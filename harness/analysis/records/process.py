"""A Record's columns about its worker processes: memory by phase, threads that worked, audits."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.records.arms import Event
from harness.analysis.records.artifacts import whole

PHASES = {"load": ("loaded", "load"), "first_call": ("loaded", "first_call"), "steady": ("memory", "steady")}
"""Phase: the event that tells of it, and under which name."""


def memory_columns(kinds: Mapping[str, Sequence[Event]]) -> dict[str, Any]:
    """Return the columns of memory (store/schema.py): medians over Trials.

    What a phase needs over the empty worker is taken Trial by Trial, since each worker is empty in its own
    way. Of replicas all processes count, and one empty worker is taken off.
    """
    columns: dict[str, Any] = {}
    empty = {event["trial"]: event["rss_empty_bytes"] for event in kinds["ready"]}
    columns["rss_empty_bytes"] = _median(empty.values())
    columns["pss_empty_bytes"] = _median(event.get("pss_empty_bytes") for event in kinds["ready"])
    for phase, (event_name, name) in PHASES.items():
        events = kinds[event_name]
        columns[f"peak_rss_{phase}_bytes"] = _median(event[name]["peak_rss_bytes"] for event in events)
        over = (
            max(event[name]["peak_rss_bytes"] - empty[event["trial"]], 0)
            for event in events
            if event["trial"] in empty
        )
        columns[f"over_empty_{phase}_bytes"] = _median(over)
        pss = "pss_bytes" if phase == "steady" else f"pss_{phase}_bytes"
        columns[pss] = _median(event[name]["pss_bytes"] for event in events)
    columns["huge_page_bytes"] = _median(event["steady"].get("huge_bytes") for event in kinds["memory"])
    return columns


def _median(values: Iterable[float | None]) -> int | None:
    """Median of what is known, in whole bytes."""
    known = [value for value in values if value is not None]
    return whole(float(np.median(known))) if known else None


def thread_columns(blocks: Sequence[Event]) -> dict[str, Any]:
    """Return `threads_used` and `cpu_utilization` (store/schema.py); None where the system does not tell."""
    counts = [event["threads_used"] for event in blocks if event.get("threads_used") is not None]
    known = [event["evidence"] for event in blocks if event["evidence"].get("cpu_s") is not None]
    wall_s = sum(evidence["wall_s"] for evidence in known)
    return {
        "threads_used": round(statistics.median_high(counts)) if counts else None,
        "cpu_utilization": sum(e["cpu_s"] for e in known) / wall_s if wall_s else None,
    }


def thread_warnings(used: int | None, budget: int | None) -> list[str]:
    """Say where the threads that worked are not those of the budget."""
    if used is None or budget is None or used == budget:
        return []
    if used > budget:
        return [f"{used} threads worked, more than the {budget} of its budget"]
    return [f"only {used} of the {budget} threads of its budget worked"]


def audit_columns(findings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns `audit` and `audit_reasons` (store/schema.py) from the findings of all audits.

    One failed audit fails the Record; None where no audit could look at anything.
    """
    known = list(findings)
    states = {finding["state"] for finding in known}
    state = "failed" if "failed" in states else "passed" if "passed" in states else None
    reasons = [f"{finding['audit']}: {reason}" for finding in known for reason in finding["reasons"]]
    return {"audit": state, "audit_reasons": reasons}
