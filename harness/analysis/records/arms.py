"""From events to the tables of Blocks, calls and scores, and to the shares of the wall time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.store.arrays import unpack
from harness.store.info import Times
from harness.store.record import Block
from harness.store.schema import values

Event = Mapping[str, Any]
Arm = tuple[str, str]  # cell_id, arm


@dataclass
class ArmEvents:
    """The events of one arm by kind, and the durations of its calls in nanoseconds, an array per Block."""

    by_kind: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    calls: list[NDArray[np.int64]] = field(default_factory=list)


def block_row(
    event: Event, calls: NDArray[np.int64], session_start_ns: int, shift_s: float
) -> dict[str, Any]:
    """Return the row of a `Block`; its session began `shift_s` after the Run."""
    seconds = calls / 1e9
    block = Block(
        cell_id=event["cell_id"],
        arm=event["arm"],
        trial=event["trial"],
        round=event["round"],
        order=event["order"],
        start_s=shift_s + (event["start_ns"] - session_start_ns) / 1e9,
        duration_s=event["duration_ns"] / 1e9,
        calls=len(calls),
        samples=event["samples"],
        median_s=float(np.median(seconds)),
        mean_s=float(seconds.mean()),
        min_s=float(seconds.min()),
        max_s=float(seconds.max()),
        seconds_per_sample=event.get("seconds_per_sample"),
        statistics=json.dumps(event.get("statistics", {})),
        tags=event["tags"],
        evidence=json.dumps(event["evidence"]),
    )
    return values(block)


def calls_columns(arms: dict[Arm, ArmEvents]) -> dict[str, Any]:
    """Return the columns of `calls.parquet`: every timed call of every arm."""
    columns: dict[str, list[Any]] = {name: [] for name in ("cell_id", "arm", "trial", "round", "call_ns")}
    for (cell_id, kind), arm in arms.items():
        for block, calls in zip(arm.by_kind["block"], arm.calls, strict=True):
            size = len(calls)
            columns["cell_id"] += [cell_id] * size
            columns["arm"] += [kind] * size
            columns["trial"].append(np.full(size, block["trial"], np.int64))
            columns["round"].append(np.full(size, block["round"], np.int64))
            columns["call_ns"].append(calls)
    numbers = ("trial", "round", "call_ns")
    empty = np.zeros(0, np.int64)
    return {n: np.concatenate([empty, *v]) if n in numbers else v for n, v in columns.items()}


def scores_columns(arms: dict[Arm, ArmEvents]) -> dict[str, Any]:
    """Return the columns of `scores.parquet`: each sample's score in the last evaluation of each arm."""
    cells: list[str] = []
    samples: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    for (cell_id, _), arm in arms.items():
        for event in arm.by_kind["evaluation"][-1:]:
            found = unpack(event["scores"])
            cells += [cell_id] * len(found)
            samples.append(np.arange(len(found)))
            scores.append(found.astype(np.float64))
    return {"cell_id": cells, "sample": np.concatenate(samples), "score": np.concatenate(scores)}


ENDS = {
    "built": "build_s",
    "build-failed": "build_s",
    "builds-done": "build_s",
    "peaks": "peaks_s",
    "ready": "start_s",
    "loaded": "load_s",
    "warm": "warmup_s",
    "block": "between_blocks_s",
    "evaluation": "audits_s",
    "trial-end": "end_s",
}
"""The part of the wall time that ends with an event."""


def times(events: Iterable[Event]) -> Times:
    """Divide the wall time of all sessions of the Run by what was done until each event.

    The parts add up to the wall time. What no other part holds is the rest; if the clock was set during the
    Run, that is in it too.
    """
    spent = dict.fromkeys([*ENDS.values(), "timed_s", "evaluation_s"], 0.0)
    before = 0.0
    for event in events:
        kind, at = event["event"], event.get("at", before)
        if kind in ENDS:
            spent[ENDS[kind]] += at - before
        if kind in ("block", "evaluation"):  # they say how much of it was theirs
            own_s = event["duration_ns"] / 1e9 if kind == "block" else event["seconds"]
            spent[ENDS[kind]] -= own_s
            spent["timed_s" if kind == "block" else "evaluation_s"] += own_s
        before = at
    wall_s = _wall_s(events)
    return Times(**spent, wall_s=wall_s, rest_s=wall_s - sum(spent.values()))


def _wall_s(events: Iterable[Event]) -> float:
    """Return the seconds of all sessions; a killed session counts until its last event."""
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
