"""The table of rules that tag a Block: what counts as noise, its threshold, its sentence and its remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.measure.evidence import Evidence, ratio
from harness.measure.procfs import TICK_S

ROUNDING_TICKS = 1.75
"""Ticks of one core that may be rounding. The difference of two readings of a counter in whole ticks has a
standard deviation of 0.41 ticks, and two counters of a core usually move (user and system): 3 × 0.58."""
SAMPLE_S = 0.004
"""Most kernels charge each timer tick to what runs at that moment (Documentation/admin-guide/cpu-load.rst),
usually 250 times a second."""
_ISOLATE = "stop other work on these cores, isolate them, or use no more threads than cores"
_STOP_OTHERS = "stop other work on this machine (builds, browsers, backups, other containers)"


@dataclass(frozen=True)
class Rule:
    """One kind of noise: a Block is tagged when `value` exceeds `limit`.

    `graded` rules count for the Run's grade; the others describe the Cell itself, or the time before it.
    """

    tag: str
    value: Callable[[Evidence], float | None]
    limit: float
    sentence: str
    remedy: str
    graded: bool = True


def per_thread(total: float | None, evidence: Evidence) -> float | None:
    """Return a sum over threads, in seconds or events, per second and thread of the budget.

    Older Runs did not record the budget: the sum is then taken as that of one thread, never too mildly.
    """
    return ratio(total, evidence.wall_s * (evidence.threads or 1))


def per_core(total_s: float | None, evidence: Evidence) -> float | None:
    """Return seconds summed over the watched cores as a share of their time; as of one core in older Runs."""
    return ratio(total_s, evidence.wall_s * (evidence.watched_cores or 1))


def worst_wait(evidence: Evidence) -> float | None:
    """Return the share of the time in which the thread that waited longest waited for a core."""
    return ratio(evidence.worst_delay_s, evidence.wall_s)


def rounding_s(cores: int) -> float:
    """Return how many seconds, summed over `cores`, may be rounding: independent errors add up as √cores."""
    return ROUNDING_TICKS * TICK_S * math.sqrt(cores)


def sampling_s(evidence: Evidence) -> float:
    """Return how many seconds the busy time of the watched cores may be off because it is sampled.

    Of N samples of a core that is busy for a share p, N p find it busy. Their standard deviation is
    √(N p (1 - p)), and three of these are returned. A core that is always busy has no such error.
    """
    total_s = evidence.wall_s * (evidence.watched_cores or 1)
    busy = min(ratio(evidence.cpu_s, total_s) or 0.0, 1.0)
    return 3 * math.sqrt(total_s * SAMPLE_S * busy * (1 - busy))


def _beyond(total_s: float | None, evidence: Evidence, error_s: float = 0.0) -> float | None:
    """Return `per_core`, or 0 for what may be rounding, or an error of up to `error_s`."""
    if total_s is not None and total_s < math.hypot(rounding_s(evidence.watched_cores or 1), error_s):
        return 0.0
    return per_core(total_s, evidence)


def foreign_s(evidence: Evidence) -> float | None:
    """Return the CPU seconds of others on the watched cores; on all cores where they cannot be told apart."""
    known = evidence.foreign_watched_s
    return evidence.foreign_cpu_s if known is None else known


def _rate(count: int | None, evidence: Evidence, at_least: int) -> float | None:
    """Return events per second and thread; 0 for fewer than `at_least` events."""
    return per_thread(count, evidence) if count is None or count >= at_least else 0.0


def _change(start: float | None, end: float | None) -> float | None:
    return abs(end / start - 1) if start and end else None


def _swapped(evidence: Evidence) -> float | None:
    known = [pages for pages in (evidence.swap_in_pages, evidence.swap_out_pages) if pages is not None]
    return float(sum(known)) if known else None


def _queue(evidence: Evidence) -> float | None:
    return None if evidence.load_1m is None or not evidence.cores else evidence.load_1m / evidence.cores


def _slowed(evidence: Evidence, *, by_power_cap: bool) -> float | None:
    """Return the share of the time in which the power limit, or else anything other, slowed the GPU down.

    A reason that is seen at an end of the Block counts as all of its time.
    """
    if (device := evidence.device) is None:
        return None
    reasons = {*(device.before.slowdowns or ()), *(device.after.slowdowns or ())}
    if any((reason == "power-cap") == by_power_cap for reason in reasons):
        return 1.0
    field = "power_limited_s" if by_power_cap else "heat_limited_s"
    start_s, end_s = getattr(device.before, field), getattr(device.after, field)
    return None if start_s is None or end_s is None else ratio(end_s - start_s, evidence.wall_s)


def _gpu_shared(evidence: Evidence) -> float | None:
    """Return the share in which others used the GPU; all of it if they hold it and no sample shows more."""
    if (device := evidence.device) is None or device.after.foreign_processes is None:
        return None
    used = device.after.foreign_utilization
    return float(device.after.foreign_processes > 0) if used is None else used


def _gpu_drift(evidence: Evidence) -> float | None:
    device = evidence.device
    return _change(device.before.clock_mhz, device.after.clock_mhz) if device else None


RULES: tuple[Rule, ...] = (
    Rule(
        "steal",
        lambda e: _beyond(e.steal_s, e),
        0.01,
        "the hypervisor took the cores away for more than 1 % of the time",
        "use a machine whose cores are not shared, or measure when other guests are idle",
    ),
    Rule(
        "throttled",
        lambda e: e.throttled_s,
        0.0,
        "the cgroup's CPU quota stopped the process",
        "raise the container's CPU quota, or use fewer threads than it allows cores",
    ),
    Rule(
        "core-shared",
        lambda e: per_thread(e.run_delay_s, e),
        0.01,
        "threads that were ready to run waited for a core for more than 1 % of the time",
        _ISOLATE,
    ),
    Rule(
        "thread-delayed",
        worst_wait,
        0.05,
        "one thread waited for a core for more than 5 % of the time; in parallel work the others wait for it",
        _ISOLATE,
    ),
    Rule(
        "switches",
        lambda e: _rate(e.involuntary_switches, e, at_least=3),
        100.0,
        "more than 100 involuntary context switches a second and thread (about 1 % of the time)",
        _ISOLATE,
    ),
    Rule(
        "foreign-cpu",
        lambda e: _beyond(foreign_s(e), e, sampling_s(e)),
        0.01,
        "other processes used more than 1 % of the cores that the Cell is pinned to",
        _STOP_OTHERS,
    ),
    Rule(
        "major-faults",
        lambda e: None if e.major_faults is None else float(e.major_faults),
        0.0,
        "pages of memory were read from disk",
        "free memory, or warm up longer, so that weights and libraries are resident before timing",
    ),
    Rule(
        "swap",
        _swapped,
        0.0,
        "the machine swapped",
        "free memory or use a smaller batch; for measuring, turn swap off (sudo swapoff -a)",
    ),
    Rule(
        "frequency",
        lambda e: _change(e.freq_mhz_start, e.freq_mhz_end),
        0.05,
        "the cores' clock frequency moved by more than 5 %",
        "set the performance governor, turn turbo off, and let the machine cool down (harness doctor)",
    ),
    Rule(
        "gpu-throttled",
        lambda e: _slowed(e, by_power_cap=False),
        0.01,
        "the GPU was slowed down by heat or by a hardware limit for more than 1 % of the time",
        "cool the GPU and check its power supply (nvidia-smi -q -d PERFORMANCE)",
    ),
    Rule(
        "gpu-shared",
        _gpu_shared,
        0.01,
        "processes of others used the GPU for more than 1 % of the time, or may have",
        "end the other processes on the GPU (nvidia-smi --query-compute-apps=pid,used_memory --format=csv)",
    ),
    Rule(
        "gpu-clock",
        _gpu_drift,
        0.05,
        "the GPU's clock frequency moved by more than 5 %",
        "fix the GPU's clock (sudo nvidia-smi -lgc MHZ)",
    ),
    Rule(
        "gpu-power-cap",
        lambda e: _slowed(e, by_power_cap=True),
        0.01,
        "the GPU ran at its power limit, so that its clock depends on its temperature",
        "fix a clock that stays below the limit (sudo nvidia-smi -lgc MHZ)",
        graded=False,
    ),
    Rule(
        "load",
        _queue,
        1.0,
        "more than one runnable process a core over the last minute",
        "wait a minute after builds before measuring",
        graded=False,
    ),
    Rule(
        "busy-elsewhere",
        lambda e: e.elsewhere_share,
        0.10,
        "the machine's other cores were busy for more than 10 % of the time; they share caches and memory",
        _STOP_OTHERS,
        graded=False,
    ),
    Rule(
        "minor-faults",
        lambda e: _rate(e.minor_faults, e, at_least=100),
        10_000.0,
        "more than 10,000 page faults a second and thread (about 1 % of the time): calls allocate memory",
        "reuse buffers or the runtime's memory arena, or raise MALLOC_TRIM_THRESHOLD_",
        graded=False,
    ),
)
"""Every kind of noise that a Block may be tagged with, its threshold and its remedy.

Where the cost can be estimated, the threshold is 1 % of the time. An involuntary context switch is assumed to
cost 100 µs, mostly for refilling caches (a few µs to over 1 ms, depending on the size of the data: Li, Ding
and Shen, "Quantifying the cost of context switch", ExpCS 2007).
"""
