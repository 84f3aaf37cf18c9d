"""The probe of each device: what it tells about noise and memory. A new device is one entry in PROBES."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from harness.devices import cuda
from harness.errors import HarnessError
from harness.measure.device import DeviceEvidence, DeviceProbe, DeviceState
from harness.measure.procfs import descendants


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
            seen = cuda.visible(cuda.gpus(nvml), nvml)
        except HarnessError:  # the driver counts a GPU that it cannot reach
            seen = ()
        self._index = seen[0].index if seen else None

    def read(self) -> DeviceState:
        """Read the GPU's state; takes about a millisecond."""
        state, since_us, self._read_us = self._state(), self._read_us, time.time_ns() // 1000
        listed, shares = self._ask(cuda.processes), self._ask(cuda.utilization, since_us)
        processes, share = self._foreign(listed or {}, shares or {})
        return replace(state, foreign_processes=processes, foreign_utilization=share)

    def between(self, before: DeviceState | None, after: DeviceState | None) -> DeviceEvidence:
        """Return the evidence of a Block. What the used memory grew in it belongs to this process."""
        before, after = before or DeviceState(), after or DeviceState()
        self._grow(before.used_memory_bytes, after.used_memory_bytes)
        return DeviceEvidence("cuda", before, after)

    def resume(self) -> None:
        """Remember the GPU's used memory."""
        self._mark = self._state().used_memory_bytes

    def pause(self) -> None:
        """Count what the used memory has grown since `resume`; without one, nothing."""
        if self._mark is not None:
            self._grow(self._mark, self._state().used_memory_bytes)
        self._mark = None

    def memory(self, pids: Collection[int]) -> tuple[int | None, str]:
        """Return the GPU memory of processes with their CUDA contexts, and where the figure comes from."""
        listed = self._ask(cuda.processes) or {}
        own = [size for pid in pids if (size := listed.get(pid)) is not None]
        if own:
            return sum(own), "driver"
        if self._grown is None or self._state().used_memory_bytes is None:
            return None, "unknown"
        return max(self._grown, 0), "difference"

    def free_bytes(self) -> int | None:
        """Return the GPU's free memory."""
        return self._state().free_memory_bytes

    def _state(self) -> DeviceState:
        return self._ask(cuda.state) or DeviceState()

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """Ask about the GPU; None where it cannot be reached (any more): the evidence is then unknown."""
        try:
            return None if self._index is None else question(self._index, *arguments, nvml=self._nvml)
        except HarnessError:
            return None

    def _grow(self, before: int | None, after: int | None) -> None:
        if self._grown is None or before is None or after is None:
            self._grown = None
        else:
            self._grown += after - before

    def _foreign(
        self, listed: Collection[int], shares: Mapping[int, float]
    ) -> tuple[int | None, float | None]:
        """Return how many processes of others hold the GPU, and the largest share that one of them used it.

        Two None where this Run's own are not among them: in a container the driver's pids are the host's.
        """
        if not self._family.issuperset({*listed, *shares}):
            self._family = {self._manager, *descendants(self._manager)}
        if not self._family.intersection(listed):
            return None, None
        used = [share for pid, share in shares.items() if pid not in self._family]
        return len({*listed} - self._family), max(used, default=0.0) if shares else None


PROBES: Mapping[str, Callable[[], DeviceProbe]] = {"cpu": DeviceProbe, "cuda": CudaProbe}
"""The probe of each device that a suite can name."""


def open_probe(device: str) -> DeviceProbe:
    """Return the probe of a device."""
    return PROBES[device]()
