"""Where the wall time of a Run went."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.records.arms import Event
from harness.store.info import Times


def times(events: Iterable[Event]) -> Times:
    """Add up where the wall time of all sessions of the Run went."""
    total = Times(wall_s=_wall_s(events))
    for event in events:
        match event["event"]:
            case "builds-done":
                total.build_s += event["seconds"]
            case "evaluation":
                total.evaluation_s += event["seconds"]
            case "warm":
                total.warmup_s += event["seconds"]
            case "block":
                total.timed_s += event["duration_ns"] / 1e9
            case "ready":
                total.start_s += event["import_s"]
    return total


def _wall_s(events: Iterable[Event]) -> float:
    """Seconds of all sessions; one that was killed could not say its own, and took until its last event."""
    total, began, last = 0.0, None, 0.0
    for event in [*events, {"event": "session", "at": 0.0}]:
        if event["event"] == "session":
            total += max(last - began, 0.0) if began is not None else 0.0
            began = event["at"]
        elif event["event"] == "wall":
            total += event["seconds"]
            began = None
        last = event.get("at", last)
    return total
