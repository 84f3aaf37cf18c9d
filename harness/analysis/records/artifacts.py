"""A Record's columns about the Artifact: size, build time, parameters, traffic, low precision."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.analysis.records.arms import Event
from harness.store.record import Record
from harness.store.schema import columns

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
    """Fill the columns that an ``artifact`` event tells of."""
    statistics = event["statistics"]
    record.artifact_key = event["key"]
    record.artifact_digest = event.get("content_digest")
    record.artifact_format = event["format"]
    record.artifact_bytes = event["bytes"]
    record.build_s = event["build_s"]
    record.build_peak_rss_bytes = event["build_peak_rss_bytes"] or None
    record.build_details = json.dumps(event["steps"], default=str)
    record.parameters = whole(statistics.get("parameters"))
    record.nonzero_parameters = whole(statistics.get("nonzero_parameters"))
    record.flops_per_sample = statistics.get("flops_per_sample")
    record.weight_bytes = whole(statistics.get("weight_bytes"))
    record.activation_bytes_per_sample = statistics.get("activation_bytes_per_sample")
    record.float32_flops_share = statistics.get("float32_flops_share")
    for name, value in _precision_columns(event["steps"]).items():
        setattr(record, name, value)


def _precision_columns(steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what the steps report of their low precision; a later step saw the result, so it overrides."""
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


def whole(value: float | None) -> int | None:
    """Round to a whole number; None stays."""
    return None if value is None else round(value)
