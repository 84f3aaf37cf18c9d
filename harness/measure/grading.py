"""Grade noise evidence: a table of rules that tag a Block, and the grade of a whole Run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.measure.evidence import Evidence
from harness.measure.procfs import TICK_S

TAGGED_LIMITS = (0.05, 0.20, 0.50)
"""Share of the measured time in tagged Blocks up to which a Run is graded A, B, C."""

LOST_LIMITS = (0.01, 0.05, 0.20)
"""Share of the measured time lost to others (stolen, throttled, waiting for a core) up to A, B, C."""

ESSENTIAL = {
    "foreign_cpu_s": "CPU time used by others",
    "steal_s": "time stolen by a hypervisor",
    "involuntary_switches": "involuntary context switches",
}
"""Fields without which a Run cannot be called quiet, and what they measure."""

_LETTERS = "ABCD"


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


def _share(value_s: float | None, wall_s: float, ticks: int = 0) -> float | None:
    """Return seconds as a share of the wall time; up to `ticks` ticks may be rounding and count as 0."""
    if value_s is None or wall_s <= 0:
        return None
    if ticks and value_s < (ticks + 0.5) * TICK_S:
        return 0.0
    return value_s / wall_s


def _rate(count: int | None, wall_s: float, at_least: int) -> float | None:
    """Return events a second; 0 for fewer than `at_least` events."""
    if count is None or wall_s <= 0:
        return None
    return count / wall_s if count >= at_least else 0.0


def _drift(evidence: Evidence) -> float | None:
    start, end = evidence.freq_mhz_start, evidence.freq_mhz_end
    return abs(end / start - 1) if start and end else None


def _swapped(evidence: Evidence) -> float | None:
    known = [pages for pages in (evidence.swap_in_pages, evidence.swap_out_pages) if pages is not None]
    return float(sum(known)) if known else None


def _queue(evidence: Evidence) -> float | None:
    return None if evidence.load_1m is None or not evidence.cores else evidence.load_1m / evidence.cores


RULES: tuple[Rule, ...] = (
    Rule(
        "steal",
        lambda e: _share(e.steal_s, e.wall_s, ticks=1),
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
        lambda e: _share(e.run_delay_s, e.wall_s),
        0.01,
        "threads that were ready to run waited for a core for more than 1 % of the time",
        "stop other work on these cores, isolate them, or use no more threads than cores",
    ),
    Rule(
        "switches",
        lambda e: _rate(e.involuntary_switches, e.wall_s, at_least=3),
        100.0,
        "more than 100 involuntary context switches a second (about 1 % of the time, caches included)",
        "stop other work on these cores, isolate them, or use no more threads than cores",
    ),
    Rule(
        "foreign-cpu",
        lambda e: _share(e.foreign_cpu_s, e.wall_s, ticks=2),
        0.05,
        "other processes used more than 5 % of one core, and also caches and memory bandwidth",
        "stop other work on this machine (builds, browsers, backups, other containers)",
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
        _drift,
        0.05,
        "the cores' clock frequency moved by more than 5 %",
        "set the performance governor, turn turbo off, and let the machine cool down (harness doctor)",
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
        "minor-faults",
        lambda e: _rate(e.minor_faults, e.wall_s, at_least=100),
        10_000.0,
        "more than 10,000 page faults a second (about 1 % of the time): calls allocate and free memory",
        "reuse buffers or the runtime's memory arena, or raise MALLOC_TRIM_THRESHOLD_",
        graded=False,
    ),
)
"""Every kind of noise that a Block may be tagged with, its threshold and its remedy.

Where the cost can be estimated, the threshold is 1 % of the time. An involuntary context switch is assumed to
cost 100 µs, mostly for refilling caches (a few µs to over 1 ms, depending on the size of the data: Li, Ding
and Shen, "Quantifying the cost of context switch", ExpCS 2007).
"""

_BY_TAG = {rule.tag: rule for rule in RULES}


@dataclass(frozen=True)
class Grade:
    """How reliable a Run is: A clean, B usable, C doubtful, D not reliable."""

    letter: str
    reasons: tuple[str, ...]
    remedies: tuple[str, ...]


def tags(evidence: Evidence) -> tuple[str, ...]:
    """Return the kinds of noise found in one Block, in the order of `RULES`."""
    return tuple(rule.tag for rule in RULES if _exceeds(rule, evidence))


def sentence(tag: str) -> str:
    """Return the meaning of a tag as text."""
    return _BY_TAG[tag].sentence


def grade(blocks: Sequence[Evidence]) -> Grade:
    """Grade a Run by the evidence of all its Blocks.

    The grade is the worst of three. (1) The share of the measured time in Blocks with a graded tag: up to 5 %
    A, 20 % B, 50 % C, else D. (2) The share of the measured time lost to others (stolen, throttled or waiting
    for a core, summed over all Blocks, so that the ticks of short Blocks add up): up to 1 % A, 5 % B, 20 % C,
    else D. (3) Without one of the fields `ESSENTIAL`, at best B. A Run without Blocks is graded D.
    """
    total_s = sum(block.wall_s for block in blocks)
    if total_s <= 0:
        return Grade("D", ("no Block was measured, so there is no evidence",), ())
    seconds = {rule.tag: _tagged_s(rule, blocks) for rule in RULES if rule.graded}
    seen = {tag: value for tag, value in seconds.items() if value > 0}
    noisy_s = sum(block.wall_s for block in blocks if seen.keys() & set(tags(block)))
    lost = sum(map(_lost_s, blocks)) / total_s
    missing = [what for field, what in ESSENTIAL.items() if all(getattr(b, field) is None for b in blocks)]
    level = max(_level(noisy_s / total_s, TAGGED_LIMITS), _level(lost, LOST_LIMITS), 1 if missing else 0)
    order = sorted(seen, key=lambda tag: -seen[tag])
    reasons = [f"{_percent(seen[tag] / total_s)} of the measured time: {sentence(tag)}" for tag in order]
    if lost > LOST_LIMITS[0]:
        reasons.insert(0, f"{_percent(lost)} of the measured time was lost to others")
    reasons += [f"this system does not report {what}" for what in missing]
    remedies = tuple(dict.fromkeys(_BY_TAG[tag].remedy for tag in order))
    return Grade(_LETTERS[level], tuple(reasons), remedies)


def _exceeds(rule: Rule, evidence: Evidence) -> bool:
    value = rule.value(evidence)
    return value is not None and value > rule.limit


def _tagged_s(rule: Rule, blocks: Sequence[Evidence]) -> float:
    return sum(block.wall_s for block in blocks if _exceeds(rule, block))


def _lost_s(block: Evidence) -> float:
    return sum(value or 0.0 for value in (block.steal_s, block.throttled_s, block.run_delay_s))


def _level(share: float, limits: tuple[float, float, float]) -> int:
    return sum(share > limit for limit in limits)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
