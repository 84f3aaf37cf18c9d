"""Grade a Run by the noise evidence of its Blocks, and tag the Blocks, by the table in `rules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.measure.device import DeviceState
from harness.measure.evidence import Evidence
from harness.measure.rules import RULES, Rule, per_core, per_thread

TAGGED_LIMITS = (0.05, 0.20, 0.50)
"""Share of the measured time in tagged Blocks up to which a Run is graded A, B, C."""

LOST_LIMITS = (0.01, 0.05, 0.20)
"""Share of the measured time lost to others (`lost_share`) up to A, B, C."""

ESSENTIAL = {
    "foreign_cpu_s": "CPU time used by others",
    "steal_s": "time stolen by a hypervisor",
    "involuntary_switches": "involuntary context switches",
}
"""Fields without which a Run cannot be called quiet, and what they measure."""

ESSENTIAL_OF_DEVICE = {
    "clock_mhz": "the GPU's clock frequency",
    "slowdowns": "what slows the GPU down",
    "foreign_processes": "other processes on the GPU",
}
"""The same for Blocks that ran on a GPU."""

_LETTERS = "ABCD"
_BY_TAG = {rule.tag: rule for rule in RULES}
_GRADED = {rule.tag for rule in RULES if rule.graded}


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
    A, 20 % B, 50 % C, else D. (2) The share of the measured time lost to others (`lost_share`, averaged over
    all Blocks, so that the ticks of short Blocks add up): up to 1 % A, 5 % B, 20 % C, else D. (3) Without
    one of the fields `ESSENTIAL`, or on a GPU `ESSENTIAL_OF_DEVICE`, at best B. A Run without Blocks is
    graded D.
    """
    total_s = sum(block.wall_s for block in blocks)
    if total_s <= 0:
        return Grade("D", ("no Block was measured, so there is no evidence",), ())
    tagged = [(block.wall_s, _GRADED.intersection(tags(block))) for block in blocks]
    noisy_s = sum(wall_s for wall_s, found in tagged if found)
    seen = {tag: wall_s for tag in _BY_TAG if (wall_s := sum(s for s, found in tagged if tag in found))}
    lost = sum(lost_share(block) * block.wall_s for block in blocks) / total_s
    devices = [block.device.after for block in blocks if block.device is not None]
    missing = _missing(ESSENTIAL, blocks) + (_missing(ESSENTIAL_OF_DEVICE, devices) if devices else [])
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


def _missing(essential: Mapping[str, str], told: Sequence[Evidence | DeviceState]) -> list[str]:
    return [what for field, what in essential.items() if all(getattr(one, field) is None for one in told)]


def lost_share(block: Evidence) -> float:
    """Return the share of a Block's time that was lost to others, as a mean over its threads and cores.

    No time counts twice. A thread whose cgroup is throttled waits for a core as well, so the larger of the
    two counts. A hypervisor takes a core away whether its thread runs or waits, so of the waiting the same
    share was stolen as of all time: 1 − (1 − stolen)(1 − waited).
    """
    waited = max(per_thread(block.run_delay_s, block) or 0.0, per_thread(block.throttled_s, block) or 0.0)
    stolen = per_core(block.steal_s, block) or 0.0
    return 1 - (1 - min(stolen, 1.0)) * (1 - min(waited, 1.0))


def _level(share: float, limits: tuple[float, float, float]) -> int:
    return sum(share > limit for limit in limits)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
