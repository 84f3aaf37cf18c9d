"""A Record's memory by phase, and over an empty worker of the same runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.arms import Event
from harness.analysis.artifacts import whole

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
