"""From a Run's events to its tables: one Record a Cell, Blocks, Samples, answers. Pure; reads no files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.records.arms import Arm, ArmEvents, Event, block_row, calls_columns, scores_columns
from harness.analysis.records.artifacts import artifact_columns
from harness.analysis.records.load import load_columns, load_warnings
from harness.analysis.records.process import audit_columns, memory_columns, thread_columns, thread_warnings
from harness.analysis.records.roofline import faster_than_peak, peaks_of, roofline_columns
from harness.analysis.records.wall_time import times
from harness.stats import mean_interval, mixture, proportion
from harness.store.arrays import unpack
from harness.store.info import RunInfo, Times
from harness.store.schema import CELLS
from harness.units import POINTS

QUANTILES = {0.5: "latency_p50_s", 0.9: "latency_p90_s", 0.95: "latency_p95_s", 0.99: "latency_p99_s"}
_BUILT = {
    "status": "pending",
    "stage": None,
    "reason": None,
    "log": None,
}  # whatever an earlier session found


@dataclass
class Tables:
    """The Run's tables as `store.writing.write_run` takes them, and where the time went."""

    cells: list[dict[str, Any]]
    blocks: list[dict[str, Any]]
    calls: dict[str, Any]
    scores: dict[str, Any]
    times: Times

    def by_name(self) -> dict[str, Any]:
        """Tables by name."""
        return {
            "cells": self.cells,
            "blocks": self.blocks,
            "calls": self.calls,
            "scores": self.scores,
        }


def assemble(events: Iterable[Event], info: RunInfo) -> Tables:
    """Make all tables of a Run, finished or not, from its journal."""
    rows: dict[str, dict[str, Any]] = {}
    arms: dict[Arm, ArmEvents] = defaultdict(ArmEvents)
    blocks: list[dict[str, Any]] = []
    session_start, shift_s, first_at = 0, 0.0, None
    for event in events:
        kind = event["event"]
        if kind == "session":
            session_start = int(event["start_ns"])
            first_at = event["at"] if first_at is None else first_at
            shift_s = event["at"] - first_at
        elif kind == "cell":
            rows[event["cell_id"]] = dict(event["row"])
        elif kind == "artifact":
            rows[event["cell_id"]].update(_BUILT, **artifact_columns(event))
        elif kind == "cell-failed":
            rows[event["cell_id"]].update(_failure(event["stage"], event["reason"], event["log"]))
        elif "arm" in event:
            arm = arms[event["cell_id"], event["arm"]]
            arm.by_kind[kind].append(event)
            if kind == "block":
                calls = unpack(event["calls_ns"])
                arm.calls.append(calls)
                blocks.append(block_row(event, calls, session_start, shift_s))
    cells = _cell_rows(rows, arms, info, peaks_of(events))
    return Tables(cells, blocks, calls_columns(arms), scores_columns(arms), times(events))


def _cell_rows(
    rows: dict[str, dict[str, Any]], arms: dict[Arm, ArmEvents], info: RunInfo, peaks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    finished = []
    for cell_id, row in rows.items():
        kinds = [row["arm"]] + (["control"] if (cell_id, "control") in arms else [])
        for kind in kinds:
            record = {**row, "arm": kind}
            if (cell_id, kind) in arms:
                record.update(_measured_columns(record, arms[cell_id, kind], info))
            if record["status"] == "measured":
                record.update(_judged(record, arms[cell_id, kind], peaks))
            if record["status"] == "pending":
                record["status"], record["reason"] = "skipped", "the Run ended before this Cell was measured"
            finished.append({column.name: record.get(column.name) for column in CELLS})
    return finished


def _judged(record: dict[str, Any], arm: ArmEvents, peaks: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns that hold the measured against the machine's roofs, and the audits."""
    columns = roofline_columns(record, peaks)
    told = [finding for event in arm.by_kind["quality"][-1:] for finding in event.get("audits", ())]
    finding = faster_than_peak(record | columns, peaks)
    warnings = [*record["warnings"], *([finding["note"]] if "note" in finding else [])]
    return columns | audit_columns([*told, finding]) | {"warnings": warnings}


def _failure(stage: str, reason: str, log: str | None) -> dict[str, Any]:
    return {"status": "failed", "stage": stage, "reason": reason, "log": f"logs/{log}" if log else None}


def _measured_columns(row: dict[str, Any], arm: ArmEvents, info: RunInfo) -> dict[str, Any]:
    kinds = arm.by_kind
    failures = kinds["trial-failed"]
    log = f"{row['cell_id']}.log"
    if not kinds["block"]:
        last = failures[-1] if failures else None
        return _failure(last["stage"], last["reason"], log) if last else {}
    columns: dict[str, Any] = {"status": "measured", "reason": None, "log": f"logs/{log}"}
    columns |= _speed_columns(row, arm)
    columns |= (
        thread_columns(kinds["block"])
        | _plan_columns(kinds)
        | _start_columns(kinds)
        | memory_columns(kinds)
        | _quality_columns(kinds["quality"])
    )
    columns["warnings"] = _warnings(columns, kinds, info)
    columns["warnings"] += thread_warnings(columns["threads_used"], row.get("threads"))
    return columns


def _speed_columns(row: dict[str, Any], arm: ArmEvents) -> dict[str, Any]:
    blocks = arm.by_kind["block"]
    trials = _by_trial(arm)
    seconds = [np.concatenate(calls) / 1e9 for calls, _, _ in trials]
    throughput = float(np.mean([samples / timed_s for _, samples, timed_s in trials]))
    columns: dict[str, Any] = {
        "latency_mean_s": float(np.mean([part.mean() for part in seconds])),
        "latency_min_s": float(min(part.min() for part in seconds)),
        "latency_std_s": _deviation(seconds),
        "calls": sum(part.size for part in seconds),
        "blocks": len(blocks),
        "trials": len(trials),
        "throughput_samples_per_s": throughput,
        "measured_s": sum(timed_s for _, _, timed_s in trials),
    }
    columns |= load_columns(blocks, arm.by_kind["warm"])
    for percentile in mixture(seconds, list(QUANTILES)):
        columns[QUANTILES[percentile.q]] = percentile.value if percentile.allowed else None
        if percentile.q == 0.99 and percentile.allowed and np.isfinite(percentile.upper):
            columns["latency_p99_upper_s"] = percentile.upper
    if row.get("flops_per_sample"):
        columns["achieved_flop_per_s"] = row["flops_per_sample"] * throughput
    return columns


def _by_trial(arm: ArmEvents) -> list[tuple[list[NDArray[np.int64]], int, float]]:
    """By Trial: its Blocks' Samples in ns, items answered, seconds timed. Each Trial counts the same."""
    found: dict[int, tuple[list[NDArray[np.int64]], int, float]] = {}
    for block, calls in zip(arm.by_kind["block"], arm.calls, strict=True):
        before, samples, timed_s = found.get(block["trial"], ([], 0, 0.0))
        seconds = block["duration_ns"] / 1e9
        found[block["trial"]] = ([*before, calls], samples + block["samples"], timed_s + seconds)
    return list(found.values())


def _deviation(trials: list[NDArray[np.float64]]) -> float | None:
    """Standard deviation of all calls, each weighing 1 / (calls of its Trial); unbiased for such weights."""
    weights = np.concatenate([np.full(part.size, 1 / part.size / len(trials)) for part in trials])
    values = np.concatenate(trials)
    free = 1 - float((weights**2).sum())
    if values.size < 2 or free <= 0:
        return None
    mean = float((weights * values).sum())
    return float(np.sqrt((weights * (values - mean) ** 2).sum() / free))


def _start_columns(kinds: dict[str, list[Event]]) -> dict[str, Any]:
    warm = kinds["warm"]
    return {
        "import_s": _median(event["import_s"] for event in kinds["ready"]),
        "load_s": _median(event["load_s"] for event in kinds["loaded"]),
        "first_call_s": _median(event["first_call_s"] for event in kinds["loaded"]),
        "warmup_calls": sum(event["calls"] for event in warm),
        "steady": all(event["steady"] for event in warm) if warm else None,
        "worker_s": sum(event["worker_s"] for event in kinds["trial-end"]),
    }


def _plan_columns(kinds: dict[str, list[Event]]) -> dict[str, Any]:
    stop = kinds["stop"][-1] if kinds["stop"] else {}
    plan = kinds["plan"][-1] if kinds["plan"] else {}
    return {
        "stop_reason": stop.get("reason"),
        "stop_halfwidth": stop.get("halfwidth"),
        "planned_trials": plan.get("trials"),
    }


def _quality_columns(events: list[Event]) -> dict[str, Any]:
    if not events:
        return {}
    last = events[-1]
    scores = unpack(last["scores"]).astype(np.float64)
    mean, low, high = mean_with_interval(scores, shares=last["unit"] == POINTS)
    return {
        "quality_metric": last["metric"],
        "quality_unit": last["unit"],
        "quality_higher_is_better": last.get("higher_is_better", True),
        "quality": mean,
        "quality_low": low,
        "quality_high": high,
        "evaluation_samples": len(scores),
        "evaluation_s": last["seconds"],
    }


def mean_with_interval(scores: NDArray[np.float64], *, shares: bool = True) -> tuple[float, float, float]:
    """Mean score and its 95 % interval: Wilson's for right-or-wrong scores, else Student's t.

    `shares` says whether scores are right or wrong by nature; a cosine that is exactly 1 on all items is not.
    """
    if shares and np.isin(scores, (0.0, 1.0)).all():
        low, high = proportion(int(scores.sum()), len(scores))
        return float(scores.mean()), low, high
    return mean_interval(scores)


def _warnings(columns: dict[str, Any], kinds: dict[str, list[Event]], info: RunInfo) -> list[str]:
    """What a reader must know about a measured Record."""
    found = [
        f"Trial {event['trial'] + 1} ended early ({event['stage']}): {event['reason']}"
        for event in kinds["trial-failed"]
    ]
    if columns["steady"] is False:
        limit = info.settings.get("warmup_time")
        found.append(f"calls had not become steady after {limit} s of warm-up")
    found += load_warnings(columns, kinds["block"], kinds["warm"])
    asked = any(event["arm"] != "control" for event in kinds["memory"])
    if asked and not kinds["quality"]:
        found.append("the quality set was not answered")
    if any(not event["steady"]["exact"] for event in kinds["memory"]):
        found.append("memory peaks were only seen at the phases' edges on this system")
    return found


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(np.median(known)) if known else None
