"""The probe of each device: what it tells about noise and memory. A new device is one entry in PROBES."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from harness.devices import cuda
from harness.errors import HarnessError
from harness.measure.device import DeviceEvidence, DeviceProbe
from harness.measure.procfs import descendants


@dataclass(frozen=True, slots=True)
class _Reading:
    """A GPU's state, and by pid who used it since the reading before (`cuda.utilization`)."""

    state: cuda.GpuState
    shares: Mapping[int, float]


class CudaProbe(DeviceProbe):
    """Reads the first GPU that this process sees, by NVML; without NVML, all that it tells is None.

    The other workers of the Run hold the GPU too while they wait. They are not foreign: `manager`, by default
    the parent, is the process from which all of them descend.
    """

    def __init__(self, nvml: Any = None, manager: int | None = None) -> None:
        self._nvml = nvml
        self._manager = os.getppid() if manager is None else manager
        self._family: set[int] = set()
        self._read_us = 0
        self._grown: int | None = 0
        self._mark: int | None = None
        try:
            self._index: int | None = cuda.visible(cuda.gpus(nvml), nvml)[0].index
        except (HarnessError, IndexError):
            self._index = None

    def read(self) -> _Reading | None:
        """Read the GPU's state; takes about a millisecond."""
        state, since_us, self._read_us = self._state(), self._read_us, time.time_ns() // 1000
        if state is None or self._index is None:
            return None
        return _Reading(state, cuda.utilization(self._index, since_us, self._nvml))

    def between(self, before: _Reading | None, after: _Reading | None) -> DeviceEvidence:
        """Return the evidence of a Block. What the used memory grew in it belongs to this process."""
        if before is None or after is None:
            return DeviceEvidence("cuda")
        old, new = before.state, after.state
        self._grow(old.used_memory_bytes, new.used_memory_bytes)
        processes, share = self._foreign(new.processes, after.shares)
        reasons = {*(old.throttle_reasons or ()), *(new.throttle_reasons or ())} & cuda.HARMFUL
        return DeviceEvidence(
            device="cuda",
            clock_mhz_start=old.sm_clock_mhz,
            clock_mhz_end=new.sm_clock_mhz,
            memory_clock_mhz_start=old.memory_clock_mhz,
            memory_clock_mhz_end=new.memory_clock_mhz,
            slowdowns=None if new.throttle_reasons is None else tuple(sorted(reasons)),
            heat_limited_s=_minus(new.heat_limited_s, old.heat_limited_s),
            power_limited_s=_minus(new.power_limited_s, old.power_limited_s),
            foreign_processes=processes,
            foreign_utilization=share,
            temperature_c=new.temperature_c,
            power_w=new.power_w,
            used_memory_bytes=new.used_memory_bytes,
        )

    def resume(self) -> None:
        """Remember the GPU's used memory."""
        state = self._state()
        self._mark = None if state is None else state.used_memory_bytes

    def pause(self) -> None:
        """Count what the used memory has grown since `resume`; without one, nothing."""
        if self._mark is not None and (state := self._state()) is not None:
            self._grow(self._mark, state.used_memory_bytes)
        self._mark = None

    def memory(self, pids: Collection[int]) -> tuple[int | None, str]:
        """Return the GPU memory of processes with their CUDA contexts, and where the figure comes from.

        Inside a container, NVML does not list them, or by pids of the host.
        """
        state = self._state()
        listed = (state.processes if state else None) or {}
        own = [size for pid in pids if (size := listed.get(pid)) is not None]
        if own:
            return sum(own), "driver"
        if self._grown is None or state is None or state.used_memory_bytes is None:
            return None, "unknown"
        return max(self._grown, 0), "difference"

    def free_bytes(self) -> int | None:
        """Return the GPU's free memory."""
        state = self._state()
        return None if state is None else state.free_memory_bytes

    def _state(self) -> cuda.GpuState | None:
        try:
            return None if self._index is None else cuda.state(self._index, self._nvml)
        except HarnessError:  # a GPU that cannot be reached any more leaves the evidence unknown
            return None

    def _grow(self, before: int | None, after: int | None) -> None:
        if self._grown is None or before is None or after is None:
            self._grown = None
        else:
            self._grown += after - before

    def _foreign(
        self, processes: Mapping[int, Any] | None, shares: Mapping[int, float]
    ) -> tuple[int | None, float | None]:
        """Return how many processes of others hold the GPU, and the largest share that one of them used it.

        Two None where this Run's own are not among them, since the driver's pids are then those of the host.
        """
        pids = {*(processes or ()), *shares}
        if not pids <= self._family:
            self._family = {self._manager, *descendants(self._manager)}
        if not self._family.intersection(processes or ()):
            return None, None
        used = [share for pid, share in shares.items() if pid not in self._family]
        return len({*(processes or ())} - self._family), max(used, default=0.0) if shares else None


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else max(after - before, 0.0)


PROBES: Mapping[str, Callable[[], DeviceProbe]] = {"cpu": DeviceProbe, "cuda": CudaProbe}
"""The probe of each device that a suite can name."""


def open_probe(device: str) -> DeviceProbe:
    """Return the probe of a device."""
    return PROBES[device]()
