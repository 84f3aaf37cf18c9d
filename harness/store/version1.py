"""Runs of schema version 1: their files, columns, values and `run.json` with the names of version 2."""

from __future__ import annotations

from typing import Any

FILES = {"calls": "samples", "scores": "answers"}
"""Tables whose files had other names."""

_DETAILS = {
    "arithmetic": "compute_dtype",
    "calibration_items": "calibration_samples",
    "validation_items": "validation_samples",
    "utilisation": "utilization",
    "settled": "resolved",
}
"""Keys inside JSON columns."""

_COLUMNS = {
    "cells": {
        "runtime_arithmetic": "runtime_compute_dtype",
        "artifact_form": "artifact_format",
        "flops_per_item": "flops_per_sample",
        "tokens_per_item": "tokens_per_sample",
        "arithmetic": "compute_dtype",
        "samples": "calls",
        "cpu_utilisation": "cpu_utilization",
        "throughput_items_per_s": "throughput_samples_per_s",
        "utilisation": "utilization",
        "activation_bytes_per_item": "activation_bytes_per_sample",
        "roof_flop_per_s": "peak_flop_per_s",
        "roof_over_float32": "peak_over_float32",
        "roof_fraction": "compute_utilization",
        "copy_fraction": "bandwidth_utilization",
        "quality_items": "evaluation_samples",
        "quality_s": "evaluation_s",
    },
    "blocks": {"items": "samples", "seconds_per_item": "seconds_per_sample", "facts": "statistics"},
    "calls": {},
    "scores": {"item": "sample"},
}
_VALUES = {
    "arm": {"cell": "subject", "shadow": "control"},
    "stage": {"quality": "evaluation"},
    "stop_reason": {"precision reached": "target_ci reached"},
}
_SETTINGS = {"precision": "target_ci", "roof_time": "peak_time"}
_PEAKS = {
    "copy_bytes_per_s": "memory_bandwidth_bytes_per_s",
    "copy_bytes": "bandwidth_bytes",
    "copy_runs": "bandwidth_runs",
}


def value(column: str, text: str) -> str:
    """Return a value of a text column as version 2 has it."""
    return _VALUES.get(column, {}).get(text, text)


def table(name: str, found: Any) -> Any:
    """Return the pyarrow table `name` of version 1 with the columns and values of version 2."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = _COLUMNS[name]
    found = found.rename_columns([names.get(old, old) for old in found.column_names])
    for place, field in enumerate(found.schema):
        column = found.column(place)
        for old, new in _VALUES.get(field.name, {}).items():
            column = pc.if_else(pc.equal(column, old), new, column)
        if field.name in ("build_details", "search", "statistics") and pa.types.is_string(field.type):
            for old, new in _DETAILS.items():
                column = pc.replace_substring(column, f'"{old}":', f'"{new}":')
        if column is not found.column(place):
            found = found.set_column(place, field, column)
    return found


def info(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of `run.json` of version 1 with the field names of version 2."""
    found = dict(content)
    if "roofs" in found:
        found["peaks"] = _each(found.pop("roofs"), _peaks)
    for part, names in (("settings", _SETTINGS), ("times", {"quality_s": "evaluation_s"})):
        if part in found:
            found[part] = _renamed(found[part], names)
    if "groups" in found:
        found["groups"] = _each(found["groups"], lambda group: _renamed(group, {"sample": "call"}))
    return found


def _peaks(found: Any) -> Any:
    named = _renamed(found, _PEAKS)
    if isinstance(named, dict) and "rates" in named:
        named["rates"] = _each(named["rates"], lambda rate: _renamed(rate, {"arithmetic": "compute_dtype"}))
    return named


def _each(found: Any, change: Any) -> Any:
    """Change each entry of a list; what is no list is left to the check of `run.json`."""
    return [change(one) for one in found] if isinstance(found, list) else found


def _renamed(found: Any, names: dict[str, str]) -> Any:
    return {names.get(old, old): it for old, it in found.items()} if isinstance(found, dict) else found
