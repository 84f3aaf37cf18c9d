"""A Record's threads and cores: how many worked, and whether that was its budget."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from harness.analysis.records.arms import Event
from harness.store.record import Record

TOLERANCE = 1.1
"""CPU time is above the budget beyond this factor: without schedstat, that of replicas is in ticks."""


def add_threads(record: Record, blocks: Sequence[Event]) -> None:
    """Fill `threads_used` and `cpu_utilization`; None where the system does not provide them."""
    counts = [event["threads_used"] for event in blocks if event.get("threads_used") is not None]
    known = [event["evidence"] for event in blocks if event["evidence"].get("cpu_s") is not None]
    wall_s = sum(evidence["wall_s"] for evidence in known)
    record.threads_used = round(statistics.median_high(counts)) if counts else None
    record.cpu_utilization = sum(e["cpu_s"] for e in known) / wall_s if wall_s else None


def thread_warnings(record: Record, warm: Sequence[Event]) -> list[str]:
    """Return what a reader must know: threads that are not the budget, or that did not come to rest.

    More than are allowed are told by the audit ``thread-budget``.
    """
    found, used, budget = [], record.threads_used, record.threads
    if used is not None and budget is not None and budget < used <= _allowed(record):
        found.append(f"{used} threads worked, more than the {budget} of its budget")
    elif used is not None and budget is not None and used < budget:
        found.append(f"only {used} of the {budget} threads of its budget worked")
    if any(event.get("rested") is False for event in warm):
        found.append(
            "its threads use the CPU between calls too (its process is stopped while others are timed)"
        )
    return found


def thread_budget(record: Record, ends: Sequence[Event]) -> dict[str, Any]:
    """Return the finding of the audit ``thread-budget``: failed or none. `ends`: ``memory`` events."""
    used, cores, budget = record.threads_used, record.cpu_utilization, record.threads or 0
    threads = {count for event in ends if (count := event.get("threads_set")) not in (None, budget)}
    outside = {core for event in ends for core in event.get("cores_outside", ())}
    faults = [f"the model's code set the threads to {count} after loading" for count in sorted(threads)]
    if outside:
        faults.append(f"its threads may use other cores as well ({', '.join(map(str, sorted(outside)))})")
    if (used or 0) > _allowed(record):
        faults.append(f"{used} threads worked")
    if cores is not None and cores > budget * TOLERANCE:
        faults.append(f"{cores:.2f} cores were busy")
    reasons = [f"{fault}; the budget is {budget}" for fault in faults] if budget else []
    return {"audit": "thread-budget", "state": "failed" if reasons else None, "reasons": reasons}


def _allowed(record: Record) -> int:
    """Return the budget and one thread for each process: a calling thread may hand all work to others."""
    return (record.threads or 0) + (record.replicas or 1)
