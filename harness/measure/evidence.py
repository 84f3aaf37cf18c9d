"""Noise evidence: changes of the system's counters over a Block.

`harness.measure.probe` reads them, `harness.measure.grading` tags noisy Blocks; they are kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.measure.device import DeviceEvidence


@dataclass(frozen=True, slots=True)
class Evidence:
    """Changes of counters over one Block. None: not known on this system.

    Process figures cover the watched processes. The watched cores are those that they are pinned to, else
    all. Sums must be related to the number of what they sum over: `watched_cores`, `threads` (the thread
    budget), `cores` (all that are online). Older Runs lack the first two.

    - Sums over threads: `run_delay_s`, the time that they were ready to run and waited for a core (to the
      nanosecond; `worst_delay_s` is that of the thread that waited longest); switches and page faults.
    - Sums over the watched cores, in ticks of 10 ms: `steal_s`, the time that the hypervisor took them away;
      `foreign_watched_s`, the CPU time of other processes there. `foreign_cpu_s` is that on all cores.
    - `throttled_s`: sum over the cores on which the cgroup or one of its ancestors was throttled.
    - `elsewhere_share`: share of their time in which the machine's other cores were busy.
    - Frequencies: means over the watched cores at the start and the end.
    - `device`: the state of a GPU; None on the processor.
    """

    wall_s: float
    cpu_s: float | None
    foreign_cpu_s: float | None
    steal_s: float | None
    throttled_s: float | None
    run_delay_s: float | None
    involuntary_switches: int | None
    voluntary_switches: int | None
    minor_faults: int | None
    major_faults: int | None
    freq_mhz_start: float | None
    freq_mhz_end: float | None
    load_1m: float | None
    swap_in_pages: int | None
    swap_out_pages: int | None
    cores: int
    foreign_watched_s: float | None = None
    elsewhere_share: float | None = None
    worst_delay_s: float | None = None
    watched_cores: int | None = None
    threads: int | None = None
    device: DeviceEvidence | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Evidence:
        """Read what `to_dict` wrote: fields that are missing become None, unknown ones are ignored."""
        known: dict[str, Any] = {name: fields.get(name) for name in cls.__dataclass_fields__}
        device = known["device"]
        return cls(**known | {"device": DeviceEvidence.from_dict(device) if device else None})


def ratio(value: float | None, of: float) -> float | None:
    """Return a share; None where a part of it is not known or zero."""
    return None if value is None or of <= 0 else value / of
