"""A Record in words: sections of its values for the Cell's page, its pipeline, and the command of its Run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.comparison import Comparison, target_ci
from harness.analysis.records.columns import parsed
from harness.analysis.words import numbers as say
from harness.report.compute import low_precision, roofline, share_of
from harness.report.properties import Properties, properties
from harness.store.info import RunInfo


@dataclass(frozen=True)
class Section:
    """A title and the values below it, as name and text."""

    title: str
    properties: Properties


def sections(row: Comparison, info: RunInfo) -> list[Section]:
    """Return the values of a measured Record by subject, without those that are unknown."""
    found = {
        "Speed": _speed(row, info),
        "Queries": queries(row),
        "Start and memory": _start(row),
        "Compute": roofline(row, info),
        "Quality": _quality(row),
        "Artifact": _artifact(row),
        "Low precision": low_precision(row),
    }
    known = {title: [pair for pair in pairs if pair[1]] for title, pairs in found.items()}
    return [Section(title, pairs) for title, pairs in known.items() if pairs]


def steps(row: Comparison) -> list[Section]:
    """Return the pipeline: one section per step, with its settings."""
    return [_step(step) for step in parsed(row.pipeline, list) if isinstance(step, dict)]


def build_steps(row: Comparison) -> list[Section]:
    """Return what the build steps reported: one section per step."""
    return [_step(step, named=True) for step in parsed(row.build_details, list) if isinstance(step, dict)]


def command(info: RunInfo) -> str:
    """Return the commands that repeat this Run: check out its commits, then run its suite."""
    given = info.command or f"harness run {shlex.quote('suites/' + info.suite_file)}"
    checkout = "".join(
        f"git checkout {found.hash[:12]}{f'  # {name}' if name else ''}\n" for name, found in info.commits
    )
    return f"{checkout}{given}" if info.suite_file or info.command else ""


def queries(row: Comparison) -> Properties:
    """Return what a Record holds of its query rate as name and text; nothing without a query schedule."""
    if row.qps is None:
        return []
    return [
        ("rate", say.quantity(row.qps, "queries/s")),
        ("over the bound", share_of(row.over_bound_share, "of the queries")),
        ("utilization", share_of(row.utilization, "of the time")),
        *_searches(row.search),
    ]


def _searches(text: str | None) -> Properties:
    """Return the rates that each Trial predicted; its first Block began at the last one."""
    return [
        (
            f"search, Trial {number}",
            " → ".join(say.quantity(rate, "queries/s") for rate in search.get("rates_per_s", ()))
            + ("" if search.get("resolved", True) else ", did not converge"),
        )
        for number, search in enumerate(parsed(text, list), start=1)
        if isinstance(search, dict)
    ]


def _speed(row: Comparison, info: RunInfo) -> Properties:
    return [
        ("mean", say.quantity(row.latency_mean_s, "s", "")),
        ("fastest", say.quantity(row.latency_min_s, "s", "")),
        ("median of all calls", say.quantity(row.latency_p50_s, "s", "")),
        ("90th percentile", say.quantity(row.latency_p90_s, "s", "")),
        ("95th percentile", say.quantity(row.latency_p95_s, "s", "")),
        ("99th percentile", say.quantity(row.latency_p99_s, "s", "")),
        ("99th, upper bound", say.quantity(row.latency_p99_upper_s, "s", "")),
        ("standard deviation", say.quantity(row.latency_std_s, "s", "")),
        ("mean throughput", say.quantity(row.throughput_samples_per_s, "samples/s", "")),
        ("timed", _timed(row)),
        ("worth independent calls", _worth(row)),
        ("warm-up", _warmup(row)),
        ("threads", _threads(row)),
        ("method", row.speedup_method or ""),
        ("adjusted p-value", _p(row.speedup_p_adjusted)),
        ("noise floor", "" if row.floor is None else f"±{say.percent(row.floor)}"),
        ("target CI", f"±{say.percent(target_ci(info))}" if row.speedup_method else ""),
        ("stopped by", _stopped(row)),
        ("pays back after", "" if row.arm == "baseline" else say.pay_back(row)),
    ]


def _threads(row: Comparison) -> str:
    """Say how many threads worked, and how many cores were busy on average."""
    used, cores = row.threads_used, row.cpu_utilization
    parts = [f"{used} of {row.threads} worked"] if used is not None else []
    return ", ".join([*parts, *([f"{say.digits(cores)} cores busy"] if cores is not None else [])])


def _stopped(row: Comparison) -> str:
    """Say why measuring ended, and how wide the interval was then."""
    reason, width = row.stop_reason or "", row.stop_halfwidth
    return f"{reason}, at ±{say.percent(width)}" if reason and width is not None else reason


def _start(row: Comparison) -> Properties:
    return [
        ("import", say.quantity(row.import_s, "s", "")),
        ("load", say.quantity(row.load_s, "s", "")),
        ("first call", say.quantity(row.first_call_s, "s", "")),
        ("empty process", say.quantity(row.rss_empty_bytes, "bytes", "")),
        ("peak, load", say.quantity(row.peak_rss_load_bytes, "bytes", "")),
        ("peak, first call", say.quantity(row.peak_rss_first_call_bytes, "bytes", "")),
        ("peak, Blocks", say.quantity(row.peak_rss_steady_bytes, "bytes", "")),
        ("above empty process", say.quantity(row.over_empty_steady_bytes, "bytes", "")),
        ("proportional (PSS)", say.quantity(row.pss_bytes, "bytes", "")),
        ("device memory, Blocks", say.quantity(row.device_memory_steady_bytes, "bytes", "")),
        ("device memory from", row.device_memory_source or ""),
        ("in huge pages", say.quantity(row.huge_page_bytes, "bytes", "")),
        ("memory ratio", "" if row.memory_ratio is None else f"{say.factor(row.memory_ratio)} ×"),
        ("replicas", str(row.replicas) if (row.replicas or 1) > 1 else ""),
    ]


def _quality(row: Comparison) -> Properties:
    changed = "" if row.discordant is None else f"{row.discordant:,} samples with another score"
    return [
        ("metric", row.quality_metric or ""),
        ("samples", _samples(row)),
        ("data", "; ".join(row.data_details)),
        ("against baseline", changed),
        ("adjusted p-value", _p(row.quality_loss_p_adjusted)),
        ("audit", row.audit or ""),
    ]


def _samples(row: Comparison) -> str:
    if row.evaluation_samples is None:
        return ""
    total, batch = row.evaluation_set_samples or 0, row.evaluation_batch
    part = f" of {total:,}" if total > row.evaluation_samples else ""
    kind = " random ones, not real data" if row.random_samples else ""
    return f"{row.evaluation_samples:,}{part}{kind}" + (f", at batch {batch}" if batch else "")


def _artifact(row: Comparison) -> Properties:
    nonzero = row.nonzero_parameters
    weights = "" if row.parameters is None else f"{row.parameters:,}"
    if nonzero is not None and row.parameters and nonzero != row.parameters:
        weights += f", {say.percent(nonzero / row.parameters)} not zero"
    return [
        ("format", row.artifact_format or ""),
        ("parameters", weights),
        ("size with zstd, level 3", say.quantity(row.artifact_zstd_bytes, "bytes", "")),
        ("build peak memory", say.quantity(row.build_peak_rss_bytes, "bytes", "")),
        ("cache key", (row.artifact_key or "")[:16]),
        ("Cell", row.cell_id),
    ]


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "below 0.001" if value < 0.001 else say.digits(value, 2, 3)


def _timed(row: Comparison) -> str:
    if row.calls is None:
        return ""
    return f"{row.calls:,} calls, {row.blocks or 0} Blocks, {row.trials or 0} Trials"


def _worth(row: Comparison) -> str:
    """Say how many independent calls the timed calls are worth for each percentile."""
    found = parsed(row.independent_calls, dict)
    return ", ".join(f"{name} {worth:,}" for name, worth in found.items() if isinstance(worth, int))


def _warmup(row: Comparison) -> str:
    if row.warmup_calls is None:
        return ""
    unsteady = ", not steady in every Trial" if row.steady is False else ""
    return f"{row.warmup_calls:,} calls{unsteady}"


def _step(step: dict[str, Any], *, named: bool = False) -> Section:
    name = step.get("step") or step.get("runtime") or step.get("name") or "step"
    known = {**step, **told} if isinstance(told := step.get("details"), dict) else step
    hidden = ("version", "details", "sensitivity")  # sensitivity has its own figure
    shown = {key: value for key, value in known.items() if value is not name and key not in hidden}
    return Section(str(name), properties(shown, named=named))
