"""A Record's columns about its worker processes: memory by phase, threads that worked, audits."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.records.arms import Event
from harness.analysis.records.artifacts import whole
from harness.store.record import Record

PHASES = {"load": ("loaded", "load"), "first_call": ("loaded", "first_call"), "steady": ("memory", "steady")}
"""Phase: the event that holds its memory, and the key in it."""


def add_memory(record: Record, kinds: Mapping[str, Sequence[Event]]) -> None:
    """Fill the columns of memory: medians over Trials.

    What a phase needs beyond the empty worker is computed Trial by Trial, since empty workers differ. With
    replicas all processes count, minus one empty worker.
    """
    empty = {event["trial"]: event["rss_empty_bytes"] for event in kinds["ready"]}
    record.rss_empty_bytes = _median(empty.values())
    record.pss_empty_bytes = _median(event.get("pss_empty_bytes") for event in kinds["ready"])
    for phase, (event_name, name) in PHASES.items():
        events = kinds[event_name]
        peak = _median(event[name]["peak_rss_bytes"] for event in events)
        over = (
            max(event[name]["peak_rss_bytes"] - empty[event["trial"]], 0)
            for event in events
            if event["trial"] in empty
        )
        pss = _median(event[name]["pss_bytes"] for event in events)
        setattr(record, f"peak_rss_{phase}_bytes", peak)
        setattr(record, f"over_empty_{phase}_bytes", _median(over))
        setattr(record, "pss_bytes" if phase == "steady" else f"pss_{phase}_bytes", pss)
    record.huge_page_bytes = _median(event["steady"].get("huge_bytes") for event in kinds["memory"])


def _median(values: Iterable[float | None]) -> int | None:
    """Median of what is known, in whole bytes."""
    known = [value for value in values if value is not None]
    return whole(float(np.median(known))) if known else None


def add_threads(record: Record, blocks: Sequence[Event]) -> None:
    """Fill `threads_used` and `cpu_utilization`; None where the system does not provide them."""
    counts = [event["threads_used"] for event in blocks if event.get("threads_used") is not None]
    known = [event["evidence"] for event in blocks if event["evidence"].get("cpu_s") is not None]
    wall_s = sum(evidence["wall_s"] for evidence in known)
    record.threads_used = round(statistics.median_high(counts)) if counts else None
    record.cpu_utilization = sum(e["cpu_s"] for e in known) / wall_s if wall_s else None


def thread_warnings(used: int | None, budget: int | None) -> list[str]:
    """Return a warning if the number of threads that worked is not the budget."""
    if used is None or budget is None or used == budget:
        return []
    if used > budget:
        return [f"{used} threads worked, more than the {budget} of its budget"]
    return [f"only {used} of the {budget} threads of its budget worked"]


def add_audits(record: Record, findings: Sequence[Mapping[str, Any]]) -> None:
    """Fill `audit` and `audit_reasons`: one failed audit fails the Record; None if no audit applied."""
    states = {finding["state"] for finding in findings}
    record.audit = "failed" if "failed" in states else "passed" if "passed" in states else None
    record.audit_reasons = [f"{each['audit']}: {reason}" for each in findings for reason in each["reasons"]]
