"""Reads the system's counters before and after a Block, never while timing.

Where the system does not provide a counter (no /proc), its field is None and the rest still works.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

from harness.measure import procfs
from harness.measure.device import DeviceProbe, DeviceState
from harness.measure.evidence import Evidence, ratio
from harness.measure.procfs import Thread, ThreadTimes, Usage

BUSY_SHARE = 0.05
"""A thread counts as working if it was on a core for this share of the time. A thread that only spins counts
too, because it occupies its core."""
_FREQUENCY_CORES = 8  # each frequency costs a system call, so only the first cores are read

Count = TypeVar("Count", int, float)


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment, since boot or since the process began.

    `counters` holds those of Evidence's fields, and the busy seconds of all and of the watched cores.
    """

    wall_ns: int
    counters: Mapping[str, float | None]
    threads: Mapping[Thread, ThreadTimes]
    freq_mhz: float | None
    load_1m: float | None
    cores: int
    device: DeviceState | None


class Probe:
    """Reads the counters around Blocks; one reading takes a fraction of a millisecond.

    `pids` are the processes to watch (default: this one): with replicas, first the one that only hands out
    work to them. `cores` are the cores they are pinned to (default: the first one's affinity), and `threads`
    is their thread budget (default: one a core). `device` reads the device that they compute on. Take the
    first reading after untimed calls, otherwise the frequency is that of an idle core.
    """

    def __init__(
        self,
        pids: Sequence[int] | None = None,
        cores: Sequence[int] | None = None,
        threads: int | None = None,
        device: DeviceProbe | None = None,
        proc: str = "/proc",
        system: str = "/sys",
    ) -> None:
        self.pids = tuple(pids) if pids else (os.getpid(),)
        self._proc = proc
        self.cores = tuple(cores) if cores is not None else _affinity(self.pids[0])
        self._threads, self._device = threads, device or DeviceProbe()
        cgroup, mounts = procfs.read(f"{proc}/{self.pids[0]}/cgroup"), procfs.read(f"{proc}/self/mountinfo")
        self._cpu_stats = [f"{folder}/cpu.stat" for folder in procfs.cgroup_dirs(cgroup, mounts, "cpu")]
        self._frequencies = [
            f"{system}/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
            for core in self.cores[:_FREQUENCY_CORES]
        ]

    def read(self) -> Reading:
        """Read all counters now."""
        device = self._device.read()
        usage = _total([_usage(pid, self._proc) for pid in self.pids])
        times, cores = self._core_times()
        vmstat = procfs.read(f"{self._proc}/vmstat")
        return Reading(
            wall_ns=time.perf_counter_ns(),
            counters={
                **(usage._asdict() if usage else dict.fromkeys(Usage._fields)),
                **times,
                "throttled_s": procfs.throttled_s([procfs.read(path) for path in self._cpu_stats]),
                "swap_in_pages": procfs.number(vmstat, "pswpin"),
                "swap_out_pages": procfs.number(vmstat, "pswpout"),
            },
            threads=procfs.thread_times(self.pids, self._proc),
            freq_mhz=_mean_mhz([procfs.read(path) for path in self._frequencies]),
            load_1m=os.getloadavg()[0],
            cores=cores,
            device=device,
        )

    def between(self, before: Reading, after: Reading) -> Evidence:
        """Return the changes between two readings."""
        wall_s = max(after.wall_ns - before.wall_ns, 0) / 1e9
        changes: dict[str, Any] = {
            name: _minus(value, before.counters[name]) for name, value in after.counters.items()
        }
        busy_s, watched_s = changes.pop("busy_s"), changes.pop("watched_busy_s")
        watched = len(self.cores) or after.cores
        waits = _increases_s(before.threads, after.threads, "delay_s")
        if len(self.pids) > 1 and changes["cpu_s"] is not None:  # exact, while stat counts ticks
            changes["cpu_s"] = sum(_increases_s(before.threads, after.threads, "cpu_s").values())
        return Evidence(
            **changes,
            wall_s=wall_s,
            foreign_cpu_s=_minus(busy_s, changes["cpu_s"]),
            foreign_watched_s=_minus(watched_s, changes["cpu_s"]),
            elsewhere_share=ratio(_minus(busy_s, watched_s), wall_s * (after.cores - watched)),
            watched_cores=watched,
            threads=self._threads or watched,
            run_delay_s=sum(waits.values()) if waits else None,
            worst_delay_s=max((waits[thread] for thread in waits if self._works(thread)), default=None),
            freq_mhz_start=before.freq_mhz,
            freq_mhz_end=after.freq_mhz,
            load_1m=after.load_1m,
            cores=after.cores,
            device=self._device.between(before.device, after.device),
        )

    def threads_used(self, before: Reading, after: Reading, worked_s: float) -> int | None:
        """Return how many threads worked in `worked_s` seconds between two readings; None where unknown."""
        if not after.threads or worked_s <= 0:
            return None
        ran = _increases_s(before.threads, after.threads, "cpu_s")
        return sum(self._works(thread) and ran[thread] >= BUSY_SHARE * worked_s for thread in ran)

    def _core_times(self) -> tuple[dict[str, float | None], int]:
        """Return busy seconds of all cores and of the watched ones, stolen seconds of these; online cores."""
        times = procfs.core_times(procfs.read(f"{self._proc}/stat"))
        if not times:
            cpu = psutil.cpu_times()
            busy_s = cpu.user + cpu.system + getattr(cpu, "nice", 0.0)
            return {"busy_s": busy_s, "watched_busy_s": None, "steal_s": None}, os.cpu_count() or 1
        watched = [times[core] for core in self.cores or times if core in times]
        return {
            "busy_s": sum(core.busy_s for core in times.values()),
            "watched_busy_s": sum(core.busy_s for core in watched),
            "steal_s": sum(core.steal_s for core in watched),
        }, len(times)

    def _works(self, thread: Thread) -> bool:
        """Whether a thread may work: a process with replicas only hands out work to them."""
        return thread[0] in (self.pids[1:] or self.pids)


def _affinity(pid: int) -> tuple[int, ...]:
    try:
        return tuple(sorted(os.sched_getaffinity(pid)))
    except (AttributeError, OSError):  # no affinity on this system, or no such process
        return ()


def _usage(pid: int, proc: str) -> Usage | None:
    """Return the usage of `pid`. getrusage serves for this process: it is fast, exact, and works on macOS."""
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


def _increases_s(
    before: Mapping[Thread, ThreadTimes], after: Mapping[Thread, ThreadTimes], field: str
) -> dict[Thread, float]:
    """Return the increase of each thread's `field` where it is known; threads that ended are missing."""
    began = {thread: getattr(times, field) or 0.0 for thread, times in before.items()}
    ended = {thread: getattr(times, field) for thread, times in after.items()}
    return {
        thread: max(seconds - began.get(thread, 0.0), 0.0)
        for thread, seconds in ended.items()
        if seconds is not None
    }


def _total(usages: list[Usage | None]) -> Usage | None:
    known = [usage for usage in usages if usage is not None]
    if len(known) < len(usages):
        return None
    return Usage(*[procfs.total(list(column)) for column in zip(*known, strict=True)])


def _mean_mhz(texts: list[str | None]) -> float | None:
    """Return the mean of frequencies given in kHz; most virtual machines have none."""
    mhz = [int(text) / 1000 for text in texts if text and text.strip().isdigit()]
    return sum(mhz) / len(mhz) if mhz else None


def _minus(after: Count | None, before: Count | None) -> Count | None:
    """Return the increase of a counter, at least 0; None where a reading is missing."""
    if after is None or before is None:
        return None
    return max(after - before, type(after)(0))
