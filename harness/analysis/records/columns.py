"""A Record's columns about its Artifact, its load and its worker processes, from the events of the Run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from harness.analysis.records.arms import Event
from harness.measure.device import MEMORY_SOURCES
from harness.store.journal import summarized
from harness.store.record import Record
from harness.store.schema import columns

JsonT = TypeVar("JsonT", list[Any], dict[str, Any])

LOW_PRECISION = (  # a quantizing step fills these columns by reporting details of these names
    "compute_dtype",
    "flops_by_type",
    "low_precision_flops_share",
    "weight_only_flops_share",
    "low_precision_weight_share",
    "float_operators",
    "qdq_pairs",
    "overhead_operators",
)

_TYPES: dict[str, tuple[type, ...]] = {
    "json": (dict,),
    "str": (str,),
    "int": (int,),
    "float": (int, float),
}


def add_artifact(record: Record, event: Event) -> None:
    """Fill the columns about the Artifact from an ``artifact`` event."""
    counted = event["statistics"]
    record.artifact_key = event["key"]
    record.artifact_digest = event.get("content_digest")
    record.artifact_format = event["format"]
    record.artifact_bytes = event["bytes"]
    record.artifact_zstd_bytes = event.get("zstd_bytes")
    record.build_s = event["build_s"]
    record.build_peak_rss_bytes = event["build_peak_rss_bytes"] or None
    record.build_details = json.dumps(event["steps"], default=str)
    record.parameters = whole(counted.get("parameters"))
    record.nonzero_parameters = whole(counted.get("nonzero_parameters"))
    record.flops_per_sample = counted.get("flops_per_sample")
    record.weight_bytes = whole(counted.get("weight_bytes"))
    record.activation_bytes_per_sample = counted.get("activation_bytes_per_sample")
    record.float32_flops_share = counted.get("float32_flops_share")
    told = [*event.get("warnings", ())]
    told += [text for step in event["steps"] for text in step.get("warnings", ())]
    data = event.get("data", {})
    record.data_details = list(data.get("notes", ()))
    told += data.get("warnings", [])
    record.warnings += [text for text in told if text not in record.warnings]  # a resumed Run tells it again
    for name, value in _precision_columns(event["steps"]).items():
        setattr(record, name, value)


def _precision_columns(steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what the steps report about low precision; a later step overrides an earlier one."""
    told: dict[str, Any] = {}
    for step in steps:
        told |= step.get("details") or {}
    kinds = {column.name: column.kind for column in columns(Record)}
    found: dict[str, Any] = dict.fromkeys(LOW_PRECISION)
    for name in LOW_PRECISION:
        value = told.get(name)
        if isinstance(value, _TYPES[kinds[name]]):  # a user's step may report anything under this name
            found[name] = json.dumps(value) if kinds[name] == "json" else value
    return found


def parsed(text: Any, kind: type[JsonT]) -> JsonT:
    """Return the content of a JSON column, a list or a dict; empty where it is missing or something else."""
    try:
        found = json.loads(text or "null")
    except (TypeError, ValueError):
        found = None
    return found if isinstance(found, kind) else kind()


def whole(value: float | None) -> int | None:
    """Round to a whole number; None stays."""
    return None if value is None else round(value)


OVER = 1.5
"""A rate broke its latency bound if the share of queries over it is this many times the allowed share."""


def add_load(record: Record, blocks: Sequence[Event], warm: Sequence[Event]) -> None:
    """Fill the columns of the load: rates are averaged as logarithms, shares weighted by calls."""
    searches = _searches(warm)
    rates = [found["rate_per_s"] for found in map(_statistics, blocks) if found.get("rate_per_s")]
    record.search = json.dumps(searches) if searches else None
    record.qps = float(np.exp(np.mean(np.log(rates)))) if rates else None
    record.over_bound_share = _average(blocks, "over_bound_share")
    record.utilization = _average(blocks, "utilization")


def _average(blocks: Sequence[Event], name: str) -> float | None:
    """Return the mean of a statistic over the Blocks that have it, weighted by calls."""
    known = [
        (found[name], summarized(block)["calls"])
        for block in blocks
        if (found := _statistics(block)).get(name) is not None
    ]
    if not known:
        return None
    return float(np.average([share for share, _ in known], weights=[calls for _, calls in known]))


def load_warnings(record: Record, blocks: Sequence[Event], warm: Sequence[Event]) -> list[str]:
    """Return what a reader must know about the load."""
    found = []
    searches = _searches(warm)
    if lost := sum(not search.get("resolved", True) for search in searches):
        found.append(
            f"the search for the rate had not converged in {lost} of {len(searches)} Trials: "
            "increase search_time"
        )
    allowed = max((_statistics(block).get("allowed_share") or 0.0 for block in blocks), default=0.0)
    over = record.over_bound_share
    if allowed and over is not None and over > OVER * allowed:
        found.append(
            f"{over:.1%} of the queries exceeded the latency bound and {allowed:.1%} are allowed: "
            "the rate is too high"
        )
    if (record.utilization or 0.0) >= 1:
        found.append("queries arrive faster than they are served: the queue and the latencies grow")
    return found


def _searches(warm: Sequence[Event]) -> list[dict[str, Any]]:
    return [event["search"] for event in warm if event.get("search")]


def _statistics(block: Event) -> dict[str, Any]:
    return block.get("statistics") or {}


PHASES = {"load": ("loaded", "load"), "first_call": ("loaded", "first_call"), "steady": ("memory", "steady")}
"""Phase: the event that holds its memory, and the key in it."""


def add_memory(record: Record, kinds: Mapping[str, Sequence[Event]]) -> None:
    """Fill the columns of memory: medians over Trials.

    What a phase needs beyond the empty worker is computed Trial by Trial, since empty workers differ. With
    replicas all processes count, minus one empty worker.
    """
    empty = {trial_of(event): event["rss_empty_bytes"] for event in kinds["ready"]}
    record.rss_empty_bytes = _bytes(empty.values())
    record.pss_empty_bytes = _bytes(event.get("pss_empty_bytes") for event in kinds["ready"])
    for phase, (event_name, name) in PHASES.items():
        events = kinds[event_name]
        peak = _bytes(event[name]["peak_rss_bytes"] for event in events)
        over = (
            max(event[name]["peak_rss_bytes"] - empty[trial_of(event)], 0)
            for event in events
            if trial_of(event) in empty
        )
        pss = _bytes(event[name]["pss_bytes"] for event in events)
        device = _bytes(event[name].get("device_bytes") for event in events)
        setattr(record, f"device_memory_{phase}_bytes", device)
        setattr(record, f"peak_rss_{phase}_bytes", peak)
        setattr(record, f"over_empty_{phase}_bytes", _bytes(over))
        setattr(record, "pss_bytes" if phase == "steady" else f"pss_{phase}_bytes", pss)
    record.huge_page_bytes = _bytes(event["steady"].get("huge_bytes") for event in kinds["memory"])
    record.device_memory_empty_bytes = _bytes(event.get("device_empty_bytes") for event in kinds["ready"])
    sources = {event["steady"].get("device_source") for event in kinds["memory"]} - {None}
    record.device_memory_source = ", ".join(sorted(sources)) or None


def device_warnings(record: Record) -> list[str]:
    """Return how far the figures of device memory can be trusted."""
    sources = (record.device_memory_source or "driver").split(", ")
    return [f"device memory: {MEMORY_SOURCES[name]}" for name in sources if name != "driver"]


def trial_of(event: Event) -> tuple[str | None, int]:
    """Return what tells a Trial from all others: its sitting, and its number there."""
    return event.get("sitting"), event["trial"]


def _bytes(values: Iterable[float | None]) -> int | None:
    """Return the median of the known values, in whole bytes."""
    return whole(median(values))


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of the known values; None without any."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def add_audits(record: Record, findings: Sequence[Mapping[str, Any]]) -> None:
    """Fill `audit` and `audit_reasons`: one failed audit fails the Record; None if no audit applied."""
    states = {finding["state"] for finding in findings}
    record.audit = "failed" if "failed" in states else "passed" if "passed" in states else None
    record.audit_reasons = [f"{each['audit']}: {reason}" for each in findings for reason in each["reasons"]]
