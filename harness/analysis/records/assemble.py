"""From a Run's events to its tables: Records, Blocks, calls, scores. Pure; reads no files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.records.arms import (
    Arm,
    ArmEvents,
    Event,
    block_row,
    calls_columns,
    scores_columns,
    times,
)
from harness.analysis.records.columns import (
    add_artifact,
    add_audits,
    add_load,
    add_memory,
    add_threads,
    load_warnings,
    median,
    thread_warnings,
)
from harness.analysis.records.roofline import Peaks, add_roofline, faster_than_peak, peaks_of
from harness.stats.paired import mean_interval, proportion
from harness.stats.quantiles import mixture
from harness.store.arrays import unpack
from harness.store.info import RunInfo, Times
from harness.store.record import Record
from harness.store.schema import record_of
from harness.units import POINTS


@dataclass
class Tables:
    """The Run's tables for `store.writing.write_run`, and its wall time by activity."""

    cells: list[Record]
    blocks: list[dict[str, Any]]
    calls: dict[str, Any]
    scores: dict[str, Any]
    times: Times

    def by_name(self) -> dict[str, Any]:
        """Return the tables by name."""
        return {"cells": self.cells, "blocks": self.blocks, "calls": self.calls, "scores": self.scores}


def assemble(events: Iterable[Event], info: RunInfo) -> Tables:
    """Make all tables of a Run, finished or not, from its journal."""
    records: dict[str, Record] = {}
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
            records[event["cell_id"]] = record_of(event["row"])
        elif kind == "artifact":
            record = records[event["cell_id"]]  # an earlier session may have failed to build it
            record.status, record.stage, record.reason, record.log = "pending", None, None, None
            add_artifact(record, event)
        elif kind == "cell-failed":
            _fail(records[event["cell_id"]], event["stage"], event["reason"], event["log"])
        elif "arm" in event:
            arm = arms[event["cell_id"], event["arm"]]
            arm.by_kind[kind].append(event)
            if kind == "block":
                calls = unpack(event["calls_ns"])
                arm.calls.append(calls)
                blocks.append(block_row(event, calls, session_start, shift_s))
    finished = _finished(records.values(), arms, info, peaks_of(events))
    return Tables(finished, blocks, calls_columns(arms), scores_columns(arms), times(events))


def _finished(
    records: Iterable[Record], arms: dict[Arm, ArmEvents], info: RunInfo, peaks: Sequence[Peaks]
) -> list[Record]:
    """Return a Record for each arm of each Cell."""
    found = []
    for planned in records:
        kinds = [planned.arm] + (["control"] if (planned.cell_id, "control") in arms else [])
        for kind in kinds:
            record = replace(planned, arm=kind, warnings=list(planned.warnings))
            if (planned.cell_id, kind) in arms:
                _add_measured(record, arms[planned.cell_id, kind], info)
            if record.status == "measured":
                _add_judged(record, arms[planned.cell_id, kind], peaks)
            if record.status == "pending":
                record.status, record.reason = "skipped", "the Run ended before this Cell was measured"
            found.append(record)
    return found


def _add_judged(record: Record, arm: ArmEvents, peaks: Sequence[Peaks]) -> None:
    """Fill the columns that compare the measurement with the machine's peaks, and the audits."""
    add_roofline(record, peaks)
    told = [finding for event in arm.by_kind["evaluation"][-1:] for finding in event.get("audits", ())]
    finding = faster_than_peak(record, peaks)
    add_audits(record, [*told, finding])
    if "note" in finding:
        record.warnings.append(finding["note"])


def _fail(record: Record, stage: str, reason: str, log: str | None) -> None:
    record.status, record.stage, record.reason = "failed", stage, reason
    record.log = f"logs/{log}" if log else None


def _add_measured(record: Record, arm: ArmEvents, info: RunInfo) -> None:
    kinds = arm.by_kind
    failures = kinds["trial-failed"]
    log = f"{record.cell_id}.log"
    if not kinds["block"]:
        if failures:
            _fail(record, failures[-1]["stage"], failures[-1]["reason"], log)
        return
    record.status, record.reason, record.log = "measured", None, f"logs/{log}"
    _add_speed(record, arm)
    add_load(record, kinds["block"], kinds["warm"])
    add_threads(record, kinds["block"])
    _add_plan(record, kinds)
    _add_start(record, kinds)
    add_memory(record, kinds)
    _add_quality(record, kinds["evaluation"])
    record.warnings = _warnings(record, kinds, info)


def _add_speed(record: Record, arm: ArmEvents) -> None:
    trials = _by_trial(arm)
    seconds = [np.concatenate(calls) / 1e9 for calls, _, _ in trials]
    record.latency_mean_s = float(np.mean([part.mean() for part in seconds]))
    record.latency_min_s = float(min(part.min() for part in seconds))
    record.latency_std_s = _deviation(seconds)
    record.calls = sum(part.size for part in seconds)
    record.blocks = len(arm.by_kind["block"])
    record.trials = len(trials)
    record.throughput_samples_per_s = float(np.mean([samples / timed_s for _, samples, timed_s in trials]))
    record.measured_s = sum(timed_s for _, _, timed_s in trials)
    sizes = [[block.size for block in blocks] for blocks, _, _ in trials]
    p50, p90, p95, p99 = mixture(seconds, [0.5, 0.9, 0.95, 0.99], blocks=sizes)
    record.independent_calls = json.dumps({f"p{round(100 * p.q)}": p.n for p in (p50, p90, p95, p99)})
    record.latency_p50_s = p50.value if p50.allowed else None
    record.latency_p90_s = p90.value if p90.allowed else None
    record.latency_p95_s = p95.value if p95.allowed else None
    record.latency_p99_s = p99.value if p99.allowed else None
    if p99.allowed and np.isfinite(p99.upper):
        record.latency_p99_upper_s = p99.upper
    if record.flops_per_sample:
        record.achieved_flop_per_s = record.flops_per_sample * record.throughput_samples_per_s


def _by_trial(arm: ArmEvents) -> list[tuple[list[NDArray[np.int64]], int, float]]:
    """Return for each Trial its Blocks' calls in ns, its samples and its timed seconds."""
    found: dict[int, tuple[list[NDArray[np.int64]], int, float]] = {}
    for block, calls in zip(arm.by_kind["block"], arm.calls, strict=True):
        before, samples, timed_s = found.get(block["trial"], ([], 0, 0.0))
        seconds = block["duration_ns"] / 1e9
        found[block["trial"]] = ([*before, calls], samples + block["samples"], timed_s + seconds)
    return list(found.values())


def _deviation(trials: list[NDArray[np.float64]]) -> float | None:
    """Return the unbiased standard deviation of all calls, each with the weight 1 / (calls of its Trial)."""
    weights = np.concatenate([np.full(part.size, 1 / part.size / len(trials)) for part in trials])
    values = np.concatenate(trials)
    free = 1 - float((weights**2).sum())
    if values.size < 2 or free <= 0:
        return None
    mean = float((weights * values).sum())
    return float(np.sqrt((weights * (values - mean) ** 2).sum() / free))


def _add_start(record: Record, kinds: dict[str, list[Event]]) -> None:
    warm = kinds["warm"]
    record.import_s = median(event["import_s"] for event in kinds["ready"])
    record.load_s = median(event["load_s"] for event in kinds["loaded"])
    record.first_call_s = median(event["first_call_s"] for event in kinds["loaded"])
    record.warmup_calls = sum(event["calls"] for event in warm)
    record.steady = all(event["steady"] for event in warm) if warm else None
    record.worker_s = sum(event["worker_s"] for event in kinds["trial-end"])


def _add_plan(record: Record, kinds: dict[str, list[Event]]) -> None:
    stop = kinds["stop"][-1] if kinds["stop"] else {}
    plan = kinds["plan"][-1] if kinds["plan"] else {}
    record.stop_reason = stop.get("reason")
    record.stop_halfwidth = stop.get("halfwidth")
    record.planned_trials = plan.get("trials")


def _add_quality(record: Record, events: list[Event]) -> None:
    if not events:
        return
    last = events[-1]
    scores = unpack(last["scores"]).astype(np.float64)
    record.quality, record.quality_low, record.quality_high = mean_with_interval(
        scores, shares=last["unit"] == POINTS
    )
    record.quality_metric = last["metric"]
    record.quality_unit = last["unit"]
    record.quality_higher_is_better = last.get("higher_is_better", True)
    record.evaluation_samples = len(scores)
    record.evaluation_s = last["seconds"]


def mean_with_interval(scores: NDArray[np.float64], *, shares: bool = True) -> tuple[float, float, float]:
    """Return the mean score and its 95 % interval: Wilson's for right-or-wrong scores, else Student's t.

    `shares`: whether scores are right or wrong by nature; a cosine that is exactly 1 everywhere is not.
    """
    if shares and np.isin(scores, (0.0, 1.0)).all():
        low, high = proportion(int(scores.sum()), len(scores))
        return float(scores.mean()), low, high
    return mean_interval(scores)


def _warnings(record: Record, kinds: dict[str, list[Event]], info: RunInfo) -> list[str]:
    """Return what a reader must know about a measured Record."""
    found = [
        f"Trial {event['trial'] + 1} ended early ({event['stage']}): {event['reason']}"
        for event in kinds["trial-failed"]
    ]
    if record.steady is False:
        limit = info.settings.get("warmup_time")
        found.append(f"calls had not become steady after {limit} s of warm-up")
    found += load_warnings(record, kinds["block"], kinds["warm"])
    asked = any(event["arm"] != "control" for event in kinds["memory"])
    if asked and not kinds["evaluation"]:
        found.append("the quality was not evaluated")
    if any(not event["steady"]["exact"] for event in kinds["memory"]):
        found.append("this system shows memory peaks only at the ends of each phase")
    return found + thread_warnings(record.threads_used, record.threads)
