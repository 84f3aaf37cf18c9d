"""All that a Record holds, for the fold below its row: in sections, in words, with its command."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.comparison import Comparison, target_ci
from harness.analysis.words import numbers as say
from harness.analysis.words.payback import pay_back
from harness.report.arrivals import arrivals
from harness.report.precision import low_precision
from harness.report.roofline import roofline
from harness.report.statistics import statistics
from harness.store.info import RunInfo

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A titled list of facts."""

    title: str
    statistics: Pairs


def sections(row: Comparison, info: RunInfo) -> list[Section]:
    """Return the facts of a measured Record by subject; what is not known is left out."""
    found = [
        Section("Speed", _speed(row, info)),
        Section("Arrivals", _known(arrivals(row))),
        Section("Start and memory", _start(row)),
        Section("Compute", _known(roofline(row, info))),
        Section("Quality", _quality(row)),
        Section("Artifact", _artifact(row)),
        Section("Low precision", low_precision(row)),
    ]
    return [section for section in found if section.statistics]


def steps(row: Comparison) -> list[Section]:
    """Return the pipeline, a section a step: its name, then what was set."""
    return [_step(step) for step in _json(row.pipeline, list) if isinstance(step, dict)]


def build_steps(row: Comparison) -> list[Section]:
    """Return what the build steps tell of themselves, a section each."""
    return [_step(step, named=True) for step in _json(row.build_details, list) if isinstance(step, dict)]


def command(info: RunInfo) -> str:
    """Return what repeats this Run, commit first."""
    given = getattr(info, "command", "") or f"harness run {shlex.quote('suites/' + info.suite_file)}"
    checkout = f"git checkout {info.commit.hash[:12]}\n" if info.commit else ""
    return f"{checkout}{given}" if info.suite_file or getattr(info, "command", "") else ""


def _speed(row: Comparison, info: RunInfo) -> Pairs:
    pairs = [
        ("mean", _s(row.latency_mean_s)),
        ("fastest", _s(row.latency_min_s)),
        ("95th percentile", _s(row.latency_p95_s)),
        ("99th, upper bound", _s(row.latency_p99_upper_s)),
        ("standard deviation", _s(row.latency_std_s)),
        ("timed", _timed(row)),
        ("warm-up", _warmup(row)),
        ("threads", _threads(row)),
        ("ratio", row.speedup_method or ""),
        ("p, corrected", _p(row.speedup_p_adjusted)),
        ("noise floor", "" if row.floor is None else f"±{say.percent(row.floor)}"),
        ("wanted", f"±{say.percent(target_ci(info))}" if row.speedup_method else ""),
        ("ended", _stopped(row)),
        ("pays back after", "" if row.arm == "baseline" else pay_back(row)),
    ]
    return _known(pairs)


def _threads(row: Comparison) -> str:
    """Say how many threads worked, and how many cores' worth of time they used."""
    used, cores = row.threads_used, row.cpu_utilization
    parts = [f"{used} of {row.threads} worked"] if used is not None else []
    return ", ".join([*parts, *([f"{say.digits(cores)} cores busy"] if cores is not None else [])])


def _stopped(row: Comparison) -> str:
    """Say why measuring ended, and how far it came."""
    reason = row.stop_reason or ""
    width = row.stop_halfwidth
    return f"{reason}, at ±{say.percent(width)}" if reason and width is not None else reason


def _start(row: Comparison) -> Pairs:
    pairs = [
        ("import", _s(row.import_s)),
        ("load", _s(row.load_s)),
        ("first call", _s(row.first_call_s)),
        ("empty process", _b(row.rss_empty_bytes)),
        ("peak, load", _b(row.peak_rss_load_bytes)),
        ("peak, first call", _b(row.peak_rss_first_call_bytes)),
        ("peak, steady", _b(row.peak_rss_steady_bytes)),
        ("over the empty process", _b(row.over_empty_steady_bytes)),
        ("proportional (PSS)", _b(row.pss_bytes)),
        ("in huge pages", _b(row.huge_page_bytes)),
        ("memory ratio", "" if row.memory_ratio is None else f"{say.factor(row.memory_ratio)} ×"),
        ("replicas", str(row.replicas) if (row.replicas or 1) > 1 else ""),
    ]
    return _known(pairs)


def _quality(row: Comparison) -> Pairs:
    changed = "" if row.discordant is None else f"{int(row.discordant):,} items answered otherwise"
    pairs = [
        ("metric", row.quality_metric or ""),
        ("samples", "" if row.evaluation_samples is None else f"{row.evaluation_samples:,}"),
        ("against baseline", changed),
        ("p, corrected", _p(row.quality_loss_p_adjusted)),
        ("audit", row.audit or ""),
    ]
    return _known(pairs)


def _artifact(row: Comparison) -> Pairs:
    nonzero = row.nonzero_parameters
    weights = "" if row.parameters is None else f"{row.parameters:,}"
    if nonzero is not None and row.parameters and nonzero != row.parameters:
        weights += f", {say.percent(nonzero / row.parameters)} not zero"
    pairs = [
        ("format", row.artifact_format or ""),
        ("parameters", weights),
        ("build peak memory", _b(row.build_peak_rss_bytes)),
        ("content", (row.artifact_key or "")[:16]),
        ("Cell", row.cell_id),
    ]
    return _known(pairs)


def _known(pairs: Pairs) -> Pairs:
    return [(name, text) for name, text in pairs if text]


def _s(seconds: Any) -> str:
    return "" if seconds is None else say.quantity(seconds, "s")


def _b(size: Any) -> str:
    return "" if size is None else say.quantity(size, "bytes")


def _p(value: Any) -> str:
    if value is None:
        return ""
    return "below 0.001" if value < 0.001 else say.digits(float(value), 2, 3)


def _timed(row: Comparison) -> str:
    if row.calls is None:
        return ""
    return f"{int(row.calls):,} calls, {row.blocks or 0} Blocks, {row.trials or 0} Trials"


def _warmup(row: Comparison) -> str:
    if row.warmup_calls is None:
        return ""
    unsteady = ", not steady in every Trial" if row.steady is False else ""
    return f"{int(row.warmup_calls):,} calls{unsteady}"


def _step(step: dict[str, Any], *, named: bool = False) -> Section:
    name = step.get("step") or step.get("runtime") or step.get("name") or "step"
    known = {**step, **told} if isinstance(told := step.get("details"), dict) else step
    hidden = ("version", "details", "sensitivity")  # the last is a figure of its own
    return Section(
        str(name),
        statistics({k: v for k, v in known.items() if v is not name and k not in hidden}, named=named),
    )


def _json(text: Any, kind: type) -> Any:
    try:
        value = json.loads(text or "null")
    except (TypeError, ValueError):
        return kind()
    return value if isinstance(value, kind) else kind()
