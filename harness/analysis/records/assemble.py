"""From a Run's events to its tables: Records, Blocks, calls, scores."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.records.arms import (
    Arm,
    Arrays,
    Event,
    Kinds,
    block_row,
    calls_columns,
    in_event,
    scores_columns,
    times,
)
from harness.analysis.records.columns import (
    add_artifact,
    add_audits,
    add_load,
    add_memory,
    device_warnings,
    load_warnings,
    median,
    trial_of,
)
from harness.analysis.records.roofline import Peaks, add_roofline, faster_than_peak, peaks_of
from harness.analysis.records.threads import add_threads, thread_budget, thread_warnings
from harness.stats.paired import mean_interval, proportion
from harness.stats.quantiles import mixture
from harness.store.info import RunInfo, Times
from harness.store.journal import summarized
from harness.store.record import Record
from harness.store.schema import record_of
from harness.units import POINTS


@dataclass
class Tables:
    """The Run's Records and Blocks, its wall time by activity; the events of each arm, and their arrays."""

    cells: list[Record]
    blocks: list[dict[str, Any]]
    times: Times
    arms: Mapping[Arm, Kinds]
    arrays: Arrays

    def by_name(self) -> dict[str, Any]:
        """Return the tables by name for `write_run`, which reads calls and scores while it writes."""
        calls, scores = calls_columns(self.arms, self.arrays), scores_columns(self.arms, self.arrays)
        return {"cells": self.cells, "blocks": self.blocks, "calls": calls, "scores": scores}


def assemble(events: Sequence[Event], info: RunInfo, arrays: Arrays | None = in_event) -> Tables:
    """Make all tables of a Run, finished or not, from its journal.

    `arrays` reads timed calls and scores, of one arm after the other. None: percentiles and quality stay
    empty.
    """
    records: dict[str, Record] = {}
    arms: dict[Arm, Kinds] = defaultdict(lambda: defaultdict(list))
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
            arms[event["cell_id"], event["arm"]][kind].append(event)
            if kind == "block":
                blocks.append(block_row(event, session_start, shift_s))
    finished = _finished(records.values(), arms, info, arrays)
    peaks = peaks_of(events)
    for record in (record for record in finished if record.status == "measured"):
        _add_judged(record, arms[record.cell_id, record.arm], peaks)
    return Tables(finished, blocks, times(events), arms, arrays or in_event)


def _finished(
    records: Iterable[Record], arms: Mapping[Arm, Kinds], info: RunInfo, arrays: Arrays | None
) -> list[Record]:
    """Return a Record for each arm of each Cell."""
    found = []
    for planned in records:
        kinds = [planned.arm] + (["control"] if (planned.cell_id, "control") in arms else [])
        for kind in kinds:
            record = replace(planned, arm=kind, warnings=list(planned.warnings))
            if (planned.cell_id, kind) in arms:
                _add_measured(record, arms[planned.cell_id, kind], info, arrays)
            if record.status == "pending":
                record.status, record.reason = "skipped", "the Run ended before this Cell was measured"
            found.append(record)
    return found


def _add_judged(record: Record, kinds: Kinds, peaks: Sequence[Peaks]) -> None:
    """Fill the columns that compare the measurement with the machine's peaks, and the audits."""
    add_roofline(record, peaks)
    told = [finding for event in kinds["evaluation"][-1:] for finding in event.get("audits", ())]
    finding = faster_than_peak(record, peaks)
    add_audits(record, [*told, finding, thread_budget(record, kinds["memory"])])
    if "note" in finding:
        record.warnings.append(finding["note"])


def _fail(record: Record, stage: str, reason: str, log: str | None) -> None:
    record.status, record.stage, record.reason = "failed", stage, reason
    record.log = f"logs/{log}" if log else None


def _add_measured(record: Record, kinds: Kinds, info: RunInfo, arrays: Arrays | None) -> None:
    failures = kinds["trial-failed"]
    log = f"{record.cell_id}.log"
    if not kinds["block"]:
        if failures:
            _fail(record, failures[-1]["stage"], failures[-1]["reason"], log)
        return
    record.status, record.reason, record.log = "measured", None, f"logs/{log}"
    _add_speed(record, kinds["block"])
    if arrays is not None:
        _add_distribution(record, kinds["block"], arrays)
        _add_quality(record, kinds["evaluation"], arrays)
    add_load(record, kinds["block"], kinds["warm"])
    add_threads(record, kinds["block"])
    _add_plan(record, kinds)
    _add_start(record, kinds)
    add_memory(record, kinds)
    record.warnings += _warnings(record, kinds, info)


def _add_speed(record: Record, blocks: Sequence[Event]) -> None:
    """Fill what follows from the summaries of the Blocks."""
    trials = [list(map(summarized, trial)) for trial in _by_trial(blocks)]
    timed_s = [sum(block["duration_ns"] for block in trial) / 1e9 for trial in trials]
    samples = [sum(block["samples"] for block in trial) for trial in trials]
    sizes = [[block["calls"] for block in trial] for trial in trials]
    means = [[block["mean_s"] for block in trial] for trial in trials]
    of_trials = [np.average(mean, weights=size) for mean, size in zip(means, sizes, strict=True)]
    record.latency_mean_s = float(np.mean(of_trials))
    record.latency_min_s = min(block["min_s"] for trial in trials for block in trial)
    record.calls = sum(map(sum, sizes))
    record.blocks, record.trials = len(blocks), len(trials)
    record.throughput_samples_per_s = float(np.mean(np.divide(samples, timed_s)))
    record.measured_s = sum(timed_s)
    if record.flops_per_sample:
        record.achieved_flop_per_s = record.flops_per_sample * record.throughput_samples_per_s


def _add_distribution(record: Record, blocks: Sequence[Event], arrays: Arrays) -> None:
    """Fill what only the single calls tell: their deviation and percentiles."""
    seconds = [
        np.concatenate([arrays(block, "calls_ns") for block in trial]) / 1e9 for trial in _by_trial(blocks)
    ]
    record.latency_std_s = _deviation(seconds)
    sizes = [[summarized(block)["calls"] for block in trial] for trial in _by_trial(blocks)]
    p50, p90, p95, p99 = mixture(seconds, [0.5, 0.9, 0.95, 0.99], blocks=sizes)
    record.independent_calls = json.dumps({f"p{round(100 * p.q)}": p.n for p in (p50, p90, p95, p99)})
    record.latency_p50_s = p50.value if p50.allowed else None
    record.latency_p90_s = p90.value if p90.allowed else None
    record.latency_p95_s = p95.value if p95.allowed else None
    record.latency_p99_s = p99.value if p99.allowed else None
    if p99.allowed and np.isfinite(p99.upper):
        record.latency_p99_upper_s = p99.upper


def _by_trial(blocks: Sequence[Event]) -> list[list[Event]]:
    """Return the Blocks of each Trial."""
    found: dict[tuple[str | None, int], list[Event]] = defaultdict(list)
    for block in blocks:
        found[trial_of(block)].append(block)
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


def _add_quality(record: Record, events: list[Event], arrays: Arrays) -> None:
    if not events:
        return
    last = events[-1]
    record.evaluation_s = last["seconds"]
    scores = arrays(last, "scores").astype(np.float64)
    if not scores.size:  # outputs that cannot be divided into samples
        return
    record.quality, record.quality_low, record.quality_high = mean_with_interval(
        scores, shares=last["unit"] == POINTS
    )
    record.quality_metric = last["metric"]
    record.quality_unit = last["unit"]
    record.quality_higher_is_better = last.get("higher_is_better", True)
    record.evaluation_samples = len(scores)
    record.evaluation_set_samples, record.evaluation_batch = last.get("set_samples"), last.get("batch")


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
    found = []
    again = [trial_of(event) for event in kinds["trial-again"]]
    for event in kinds["trial-failed"]:
        how = "ended early"
        if (trial := trial_of(event)) in again:  # a second failure ended it
            again.remove(trial)
            how = "was started twice"
        found.append(f"Trial {event['trial'] + 1} {how} ({event['stage']}): {event['reason']}")
    if record.steady is False:
        limit = info.settings.get("warmup_time")
        found.append(f"calls had not become steady after {limit} s of warm-up")
    found += load_warnings(record, kinds["block"], kinds["warm"])
    asked = any(event["arm"] != "control" for event in kinds["memory"])
    if asked and not kinds["evaluation"]:
        found.append("the quality was not evaluated")
    found += [event["warning"] for event in kinds["evaluation"][-1:] if event.get("warning")]
    if any(not event["steady"]["exact"] for event in kinds["memory"]):
        found.append("this system shows memory peaks only at the ends of each phase")
    return found + device_warnings(record) + thread_warnings(record, kinds["warm"])
