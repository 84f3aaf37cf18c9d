"""Noise evidence: what disturbed a Block, as counters read before and after it. Never read while timing.

A noisy Block is tagged and kept (`harness.measure.grading` says what its tags mean). Where the system tells
nothing (no /proc), fields are None and the rest still works.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from harness.measure import procfs
from harness.measure.grading import RULES, Grade, grade, sentence, tags
from harness.measure.procfs import Usage

__all__ = ["RULES", "Evidence", "Grade", "Probe", "Reading", "grade", "sentence", "tags"]

_FREQUENCY_CORES = 8  # reading one core's frequency costs a system call; so many stand for all


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counters around one Block. None: not known on this system.

    Process figures cover the watched process and those below it. `run_delay_s` is the time that its threads
    were ready to run and had to wait for a core (to the nanosecond); `steal_s` the time that the hypervisor
    took the watched cores away, and `foreign_cpu_s` what others used of all the machine's cores (both in
    ticks of 10 ms). `throttled_s` is the cgroup's, ancestors added. Frequencies are means over the watched
    cores, at the Block's edges. `cores` is how many cores the machine has switched on.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Evidence:
        """Read back what `to_dict` wrote; fields that an older Run lacks are None, unknown ones ignored."""
        known: dict[str, Any] = {name: fields.get(name) for name in cls.__dataclass_fields__}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment, since boot or since the process began."""

    wall_ns: int
    usage: Usage | None
    busy_s: float | None
    steal_s: float | None
    throttled_s: float | None
    run_delay_s: float | None
    freq_mhz: float | None
    load_1m: float | None
    swap_in_pages: int | None
    swap_out_pages: int | None
    cores: int


class Probe:
    """Reads the counters around Blocks; one reading costs a fraction of a millisecond.

    `pid` is the process to watch (default: this one) and `cores` those that it is pinned to (default: its
    affinity). The processes below it are looked up once: call `refresh` after starting or ending replicas.
    Take the first reading after the Block's warm-up calls, or the frequency is that of a core just woken.
    """

    def __init__(
        self,
        pid: int | None = None,
        cores: Sequence[int] | None = None,
        proc: str = "/proc",
        system: str = "/sys",
    ) -> None:
        self.pid = os.getpid() if pid is None else pid
        self._proc = proc
        self.cores = tuple(cores) if cores is not None else _affinity(self.pid)
        cgroup, mounts = procfs.read(f"{proc}/{self.pid}/cgroup"), procfs.read(f"{proc}/self/mountinfo")
        self._cpu_stats = [f"{folder}/cpu.stat" for folder in procfs.cgroup_dirs(cgroup, mounts, "cpu")]
        self._frequencies = [
            f"{system}/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
            for core in self.cores[:_FREQUENCY_CORES]
        ]
        self.refresh()

    def refresh(self) -> None:
        """Look up the processes below the watched one again."""
        self._pids = (self.pid, *procfs.descendants(self.pid, self._proc))

    def read(self) -> Reading:
        """Read all counters now."""
        usages = [_usage(pid, self._proc) for pid in self._pids]
        delays = [_run_delay_s(pid, self._proc) for pid in self._pids]
        busy_s, steal_s, cores = self._machine()
        vmstat = procfs.read(f"{self._proc}/vmstat")
        return Reading(
            wall_ns=time.perf_counter_ns(),
            usage=_total(usages),
            busy_s=busy_s,
            steal_s=steal_s,
            throttled_s=procfs.throttled_s([procfs.read(path) for path in self._cpu_stats]),
            run_delay_s=_sum(delays),
            freq_mhz=_mean_mhz([procfs.read(path) for path in self._frequencies]),
            load_1m=os.getloadavg()[0],
            swap_in_pages=procfs.number(vmstat, "pswpin"),
            swap_out_pages=procfs.number(vmstat, "pswpout"),
            cores=cores,
        )

    def between(self, before: Reading, after: Reading) -> Evidence:
        """Return the evidence of what lies between two readings."""
        old, new = before.usage or Usage(*[None] * 5), after.usage or Usage(*[None] * 5)
        cpu_s = _minus(new.cpu_s, old.cpu_s)
        busy_s = _minus(after.busy_s, before.busy_s)
        return Evidence(
            wall_s=max(after.wall_ns - before.wall_ns, 0) / 1e9,
            cpu_s=cpu_s,
            foreign_cpu_s=_minus(busy_s, cpu_s),
            steal_s=_minus(after.steal_s, before.steal_s),
            throttled_s=_minus(after.throttled_s, before.throttled_s),
            run_delay_s=_minus(after.run_delay_s, before.run_delay_s),
            involuntary_switches=_fewer(new.involuntary_switches, old.involuntary_switches),
            voluntary_switches=_fewer(new.voluntary_switches, old.voluntary_switches),
            minor_faults=_fewer(new.minor_faults, old.minor_faults),
            major_faults=_fewer(new.major_faults, old.major_faults),
            freq_mhz_start=before.freq_mhz,
            freq_mhz_end=after.freq_mhz,
            load_1m=after.load_1m,
            swap_in_pages=_fewer(after.swap_in_pages, before.swap_in_pages),
            swap_out_pages=_fewer(after.swap_out_pages, before.swap_out_pages),
            cores=after.cores,
        )

    def _machine(self) -> tuple[float | None, float | None, int]:
        """Busy seconds of all cores, stolen seconds of the watched ones, and how many cores are on."""
        times = procfs.core_times(procfs.read(f"{self._proc}/stat"))
        if times:
            watched = [times[core].steal_s for core in self.cores or times if core in times]
            return sum(core.busy_s for core in times.values()), sum(watched), len(times)
        cpu = psutil.cpu_times()
        return cpu.user + cpu.system + getattr(cpu, "nice", 0.0), None, os.cpu_count() or 1


def _affinity(pid: int) -> tuple[int, ...]:
    try:
        return tuple(sorted(os.sched_getaffinity(pid)))
    except (AttributeError, OSError):  # no affinity on this system, or no such process
        return ()


def _usage(pid: int, proc: str) -> Usage | None:
    """Return what `pid` has used; of its own process by getrusage: cheap, exact, and on macOS too."""
    if pid == os.getpid():
        own = resource.getrusage(resource.RUSAGE_SELF)
        return Usage(time.process_time(), own.ru_nvcsw, own.ru_nivcsw, own.ru_minflt, own.ru_majflt)
    usage = procfs.process_usage(procfs.read(f"{proc}/{pid}/stat"))
    if usage is None:
        return _usage_anywhere(pid)
    texts = [procfs.read(f"{proc}/{pid}/task/{task}/status") for task in procfs.names(f"{proc}/{pid}/task")]
    threads = [procfs.numbers(text) for text in texts]
    return usage._replace(
        voluntary_switches=sum(thread.get("voluntary_ctxt_switches", 0) for thread in threads),
        involuntary_switches=sum(thread.get("nonvoluntary_ctxt_switches", 0) for thread in threads),
    )


def _usage_anywhere(pid: int) -> Usage | None:
    try:
        process = psutil.Process(pid)
        times, switches = process.cpu_times(), process.num_ctx_switches()
    except (psutil.Error, NotImplementedError):
        return None
    return Usage(times.user + times.system, switches.voluntary, switches.involuntary, None, None)


def _run_delay_s(pid: int, proc: str) -> float | None:
    """Sum the waits for a core of all live threads (second field of schedstat, nanoseconds)."""
    texts = [
        procfs.read(f"{proc}/{pid}/task/{task}/schedstat") for task in procfs.names(f"{proc}/{pid}/task")
    ]
    waits = [int(fields[1]) for text in texts if len(fields := (text or "").split()) >= 2]
    return sum(waits) / 1e9 if waits else None


def _total(usages: list[Usage | None]) -> Usage | None:
    known = [usage for usage in usages if usage is not None]
    if len(known) < len(usages):
        return None
    return Usage(*[_sum(list(column)) for column in zip(*known, strict=True)])


def _sum(values: list[Any]) -> Any:
    return None if None in values else sum(values)


def _mean_mhz(texts: list[str | None]) -> float | None:
    """Mean of frequencies given in kHz; a virtual machine mostly has none to give."""
    mhz = [int(text) / 1000 for text in texts if text and text.strip().isdigit()]
    return sum(mhz) / len(mhz) if mhz else None


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else max(after - before, 0.0)


def _fewer(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(after - before, 0)
