"""A Record's columns that say what was built: size, build time, parameters, what is in low precision."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.analysis.records.arms import Event
from harness.analysis.records.roofline import traffic_columns
from harness.store.schema import CELLS

LOW_PRECISION = (  # columns that a quantizing step fills by reporting details of these names
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


def artifact_columns(event: Event) -> dict[str, Any]:
    """Return the columns that an ``artifact`` event fills."""
    statistics = event["statistics"]
    return {
        "artifact_key": event["key"],
        "artifact_format": event["format"],
        "artifact_bytes": event["bytes"],
        "build_s": event["build_s"],
        "build_peak_rss_bytes": event["build_peak_rss_bytes"] or None,
        "build_details": json.dumps(event["steps"], default=str),
        "parameters": whole(statistics.get("parameters")),
        "nonzero_parameters": whole(statistics.get("nonzero_parameters")),
        "flops_per_sample": statistics.get("flops_per_sample"),
        **traffic_columns(statistics),
        **_precision_columns(event["steps"]),
    }


def _precision_columns(steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the steps report of their low precision; a later step's word counts, since it saw the result."""
    told: dict[str, Any] = {}
    for step in steps:
        told |= step.get("details") or {}
    kinds = {column.name: column.kind for column in CELLS}
    found: dict[str, Any] = {}
    for name in LOW_PRECISION:
        value = told.get(name)
        if isinstance(value, _TYPES[kinds[name]]):  # a user's step may report anything under this name
            found[name] = json.dumps(value) if kinds[name] == "json" else value
    return found


def whole(value: float | None) -> int | None:
    """Round to a whole number; None stays."""
    return None if value is None else round(value)
