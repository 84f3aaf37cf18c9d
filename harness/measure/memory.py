"""Resident memory by phase: the peak of loading, of the first call and of steady running.

Linux keeps a process's highest resident size (VmHWM), and writing 5 to /proc/PID/clear_refs resets it
(proc(5)), so each phase has its own exact peak. The peak that getrusage reports is not used: it cannot be
reset, and a child process starts with its parent's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from harness.errors import HarnessError
from harness.measure import procfs
from harness.measure.device import DeviceProbe

_KIB = 1024


@dataclass(frozen=True)
class Phase:
    """Memory of one phase; for several processes, the sums.

    The sum of resident sizes counts a shared page once for each process, and the sum of peaks is an upper
    bound, since the peaks may occur at different times. `pss_bytes` divides shared pages among their
    processes, so its sum is the memory really used. `exact` is False where the peak could only be read at the
    start and the end of the phase: the true peak may be higher. `huge_bytes`: resident in transparent huge
    pages at the end. `device_bytes`: device memory at the end, and its source (`MEMORY_SOURCES`); allocators
    keep what they once took, so it is near the peak.
    """

    name: str
    rss_start_bytes: int
    peak_rss_bytes: int
    rss_end_bytes: int
    pss_bytes: int | None
    huge_bytes: int | None
    exact: bool
    device_bytes: int | None = None
    device_source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def rss_bytes(pid: int, proc: str = "/proc") -> int:
    """Return the resident set of `pid` now: VmRSS, or psutil's figure where there is no /proc."""
    resident = procfs.numbers(procfs.read(f"{proc}/{pid}/status")).get("VmRSS")
    if resident is not None:
        return resident * _KIB
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error as error:
        raise HarnessError(f"the memory of process {pid} cannot be read: {error}") from error


def peak_rss_bytes(pid: int, proc: str = "/proc") -> int | None:
    """Return the highest resident set of `pid` since it began or since `reset_peak`; None off Linux."""
    peak = procfs.numbers(procfs.read(f"{proc}/{pid}/status")).get("VmHWM")
    return None if peak is None else peak * _KIB


def pss_bytes(pid: int, proc: str = "/proc") -> int | None:
    """Return the proportional set of `pid`: each shared page divided by those who share it; None off Linux.

    The kernel walks every mapping for it (milliseconds for a large process), so do not call it during timing.
    """
    return _rollup(pid, "Pss", proc)


def huge_bytes(pid: int, proc: str = "/proc") -> int | None:
    """Return how much memory of `pid` is in anonymous huge pages; None off Linux. As slow as `pss_bytes`."""
    return _rollup(pid, "AnonHugePages", proc)


def _rollup(pid: int, field: str, proc: str) -> int | None:
    kib = procfs.numbers(procfs.read(f"{proc}/{pid}/smaps_rollup")).get(field)
    return None if kib is None else kib * _KIB


def reset_peak(pid: int, proc: str = "/proc") -> bool:
    """Reset the peak of `pid` to its present resident set; False where the system does not allow it."""
    try:
        with Path(f"{proc}/{pid}/clear_refs").open("r+b", buffering=0) as file:
            file.write(b"5")
    except OSError:
        return False
    return True


class PhaseMeter:
    """Measures phases of one process, or of several that belong together (replicas).

    ``meter.begin("load")`` … ``phase = meter.end()``. Without `pids` it watches its own process, which it
    looks up at each `begin`, so that a meter made before a fork watches the right one. `device` tells the
    memory of the device that they compute on.
    """

    def __init__(
        self, pids: Sequence[int] | None = None, proc: str = "/proc", device: DeviceProbe | None = None
    ) -> None:
        self._device = device or DeviceProbe()
        self._fixed = None if pids is None else tuple(pids)
        self._proc = proc
        self._pids: tuple[int, ...] = ()
        self._name: str | None = None
        self._starts: list[int] = []
        self._marks: list[int | None] = []

    def begin(self, name: str) -> None:
        """Begin a phase: reset the peaks and read the resident sizes."""
        if self._name is not None:
            raise HarnessError(f"memory phase {name!r} begins inside {self._name!r}: end that one first")
        self._pids = (os.getpid(),) if self._fixed is None else self._fixed
        self._starts = [rss_bytes(pid, self._proc) for pid in self._pids]
        self._marks = [self._mark(pid) for pid in self._pids]
        self._name = name
        self._device.resume()

    def end(self) -> Phase:
        """End the phase and return its figures."""
        if self._name is None:
            raise HarnessError("no memory phase has begun: call begin first")
        name, self._name = self._name, None
        self._device.pause()
        device_bytes, device_source = self._device.memory(self._pids)
        ends = [rss_bytes(pid, self._proc) for pid in self._pids]
        peaks = [
            self._peak(pid, mark, max(start, end))
            for pid, mark, start, end in zip(self._pids, self._marks, self._starts, ends, strict=True)
        ]
        return Phase(
            name=name,
            rss_start_bytes=sum(self._starts),
            peak_rss_bytes=sum(peak for peak, _ in peaks),
            rss_end_bytes=sum(ends),
            pss_bytes=procfs.total([pss_bytes(pid, self._proc) for pid in self._pids]),
            huge_bytes=procfs.total([huge_bytes(pid, self._proc) for pid in self._pids]),
            exact=all(exact for _, exact in peaks),
            device_bytes=device_bytes,
            device_source=device_source,
        )

    def _mark(self, pid: int) -> int | None:
        """Reset the peak and return 0; where that is refused, return the old peak."""
        return 0 if reset_peak(pid, self._proc) else peak_rss_bytes(pid, self._proc)

    def _peak(self, pid: int, mark: int | None, edges: int) -> tuple[int, bool]:
        peak = peak_rss_bytes(pid, self._proc)
        if peak is None or mark is None or peak <= mark:
            return edges, False
        return max(peak, edges), True


def with_children(phase: Phase, pids: Sequence[int], proc: str = "/proc") -> Phase:
    """Add the memory of processes that began within the phase (replicas)."""
    peaks = [peak_rss_bytes(pid, proc) for pid in pids]
    shares = [phase.pss_bytes, *(pss_bytes(pid, proc) for pid in pids)]
    return replace(
        phase,
        peak_rss_bytes=phase.peak_rss_bytes + sum(peak or 0 for peak in peaks),
        pss_bytes=procfs.total(shares),
        exact=phase.exact and None not in peaks,
    )
