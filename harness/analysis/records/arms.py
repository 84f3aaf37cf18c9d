"""From events to the tables of Blocks, calls and scores, and to the shares of the wall time.

Timed calls and scores are read when they are needed, some at a time, since all together may not fit into
memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.store.arrays import unpack
from harness.store.info import Times
from harness.store.journal import summarized
from harness.store.record import Block
from harness.store.schema import values

Event = dict[str, Any]
Arm = tuple[str, str]  # cell_id, arm
Kinds = dict[str, list[Event]]
"""The events of one arm by kind."""
Arrays = Callable[[Event, str], NDArray[Any]]
"""Returns an array of an event by name: ``calls_ns``, ``scores`` or ``positions``."""
CHUNK = 2**18
"""Calls that are written at a time."""


def in_event(event: Event, name: str) -> NDArray[Any]:
    """Return an array that the event itself holds."""
    return unpack(event[name])


def block_row(event: Event, session_start_ns: int, shift_s: float) -> dict[str, Any]:
    """Return the row of a `Block`; its session began `shift_s` after the Run."""
    event = summarized(event)
    block = Block(
        cell_id=event["cell_id"],
        arm=event["arm"],
        trial=event["trial"],
        round=event["round"],
        order=event["order"],
        start_s=shift_s + (event["start_ns"] - session_start_ns) / 1e9,
        duration_s=event["duration_ns"] / 1e9,
        calls=event["calls"],
        samples=event["samples"],
        median_s=event["median_s"],
        mean_s=event["mean_s"],
        min_s=event["min_s"],
        max_s=event["max_s"],
        seconds_per_sample=event.get("seconds_per_sample"),
        statistics=json.dumps(event.get("statistics", {})),
        tags=event["tags"],
        evidence=json.dumps(event["evidence"]),
        sitting=event.get("sitting"),
    )
    return values(block)


def calls_columns(arms: Mapping[Arm, Kinds], arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Yield the columns of `calls.parquet`, every timed call, for some Blocks at a time, arm by arm."""
    blocks: list[Event] = []
    calls = 0
    for block in (block for kinds in arms.values() for block in kinds["block"]):
        blocks.append(block)
        calls += summarized(block)["calls"]
        if calls >= CHUNK:
            yield _calls(blocks, arrays)
            blocks, calls = [], 0
    if blocks:
        yield _calls(blocks, arrays)


def _calls(blocks: list[Event], arrays: Arrays) -> dict[str, Any]:
    """Return the columns of `calls.parquet` for these Blocks."""
    calls = [arrays(block, "calls_ns") for block in blocks]
    sizes = [part.size for part in calls]
    names = ("cell_id", "arm", "trial", "round", "sitting")
    columns = {name: np.repeat([block.get(name) for block in blocks], sizes) for name in names}
    return {**columns, "call_ns": np.concatenate(calls)}


def scores_columns(arms: Mapping[Arm, Kinds], arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Yield the columns of `scores.parquet`, each sample's score in the last evaluation, arm by arm."""
    for (cell_id, _), kinds in arms.items():
        for event in kinds["evaluation"][-1:]:
            scores = arrays(event, "scores").astype(np.float64)
            samples = np.arange(scores.size)
            if event.get("set_samples", scores.size) > scores.size:
                samples = arrays(event, "positions")
            yield {"cell_id": [cell_id] * scores.size, "sample": samples, "score": scores}


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
