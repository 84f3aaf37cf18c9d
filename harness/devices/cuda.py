"""NVIDIA GPUs through NVML: what they are and what state they are in. Reads only; never changes a setting.

`nvml` everywhere is the pynvml module or what stands in for it in a test; left out, it is imported on first
use. Reference: NVIDIA Management Library API, nvmlClocksEventReasons.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from harness.errors import HarnessError

_REASONS = {
    0x1: "gpu-idle",
    0x2: "application-clocks",
    0x4: "power-cap",
    0x8: "hardware-slowdown",
    0x10: "sync-boost",
    0x20: "thermal-software",
    0x40: "thermal-hardware",
    0x80: "power-brake",
    0x100: "display-clocks",
}
"""Bits of the clock event reasons. Idle and set clocks are states, the others hold the clock down."""

HARMFUL = frozenset({"power-cap", "hardware-slowdown", "thermal-software", "thermal-hardware", "power-brake"})
"""Reasons by which a GPU ran slower than it was set to."""

_CLOCK_DRIFT = 0.05  # share by which the SM clock may move within a Block before it is tagged


CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""What workers are started with: CUDA numbers GPUs as NVML does. By itself it puts the fastest first, so that
where GPUs of different kinds share a machine another one would be used than is looked at here."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. `index` is NVML's (PCI order); `uuid_hash` tells two of a kind apart without naming them."""

    index: int
    name: str
    memory_bytes: int | None
    uuid_hash: str
    driver: str


@dataclass(frozen=True)
class GpuSample:
    """State of one GPU at one moment; None where the GPU or the driver does not tell."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    throttle_reasons: tuple[str, ...] | None
    temperature_c: int | None
    power_w: float | None
    used_memory_bytes: int | None
    foreign_processes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def available(nvml: Any = None) -> str | None:
    """Return why there is no GPU to measure on, or None where there is one."""
    try:
        return None if _nvml(nvml).nvmlDeviceGetCount() else "the NVIDIA driver sees no GPU"
    except HarnessError as error:
        return str(error)
    except Exception as error:  # NVML's errors are a class of a module that may not be there
        return f"NVML answers: {error}"


def gpus(nvml: Any = None) -> tuple[Gpu, ...]:
    """List the GPUs that the driver sees; empty where there is none or no driver."""
    if available(nvml) is not None:
        return ()
    library = _nvml(nvml)
    return tuple(_gpu(library, index) for index in range(library.nvmlDeviceGetCount()))


def visible(found: tuple[Gpu, ...], nvml: Any = None) -> tuple[Gpu, ...]:
    """Keep what CUDA_VISIBLE_DEVICES leaves to this process, in its order; all where it is not set.

    As CUDA does, it stops at the first entry that names no GPU. MIG slices name none here. Numbers are read
    in PCI order, in which workers number them as well (CUDA_ORDER).
    """
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return found
    kept: list[Gpu] = []
    for entry in (part.strip() for part in wanted.split(",")):
        matches = [gpu for gpu in found if entry and _named(entry, gpu, nvml)]
        if not matches or matches[0] in kept:
            break
        kept.append(matches[0])
    return tuple(kept)


def capability(nvml: Any = None) -> tuple[int, int] | None:
    """Return the compute capability of the first GPU that this process sees; None where nobody tells."""
    found = visible(gpus(nvml), nvml)
    if not found:
        return None
    library = _nvml(nvml)
    answer = _ask(library, "nvmlDeviceGetCudaComputeCapability", _handle(library, found[0].index))
    return (int(answer[0]), int(answer[1])) if answer is not None else None


def sample(index: int, own_pids: Collection[int] = (), nvml: Any = None) -> GpuSample:
    """Read the state of GPU `index`; takes about a millisecond.

    `foreign_processes` counts compute processes whose pid is not in `own_pids`; None inside a container
    whose pids are not the driver's.
    """
    library = _nvml(nvml)
    handle = _handle(library, index)
    bits = _ask(library, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:  # the name before driver 535
        bits = _ask(library, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    milliwatts = _ask(library, "nvmlDeviceGetPowerUsage", handle)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    return GpuSample(
        sm_clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 1),  # NVML_CLOCK_SM
        memory_clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 2),  # NVML_CLOCK_MEM
        throttle_reasons=None if bits is None else decode(bits),
        temperature_c=_ask(library, "nvmlDeviceGetTemperature", handle, 0),  # NVML_TEMPERATURE_GPU
        power_w=None if milliwatts is None else milliwatts / 1000,
        used_memory_bytes=None if memory is None else int(memory.used),
        foreign_processes=_foreign(library, handle, own_pids),
    )


def process_memory_bytes(index: int, pid: int, nvml: Any = None) -> int | None:
    """Return what the driver counts as device memory of `pid`; None where it does not list the process."""
    library = _nvml(nvml)
    running = _ask(library, "nvmlDeviceGetComputeRunningProcesses", _handle(library, index)) or []
    used = [process.usedGpuMemory for process in running if process.pid == pid]
    return int(used[0]) if used and used[0] is not None else None


def decode(bits: int) -> tuple[str, ...]:
    """Name the clock event reasons set in `bits`."""
    return tuple(name for bit, name in _REASONS.items() if bits & bit)


def tags(before: GpuSample, after: GpuSample) -> tuple[str, ...]:
    """Return the kinds of noise between two samples around a Block.

    ``gpu-throttled``: a harmful reason at either edge. ``gpu-shared``: another process computes on it.
    ``gpu-clock``: the SM clock moved by more than 5 %.
    """
    reasons = set(before.throttle_reasons or ()) | set(after.throttle_reasons or ())
    start, end = before.sm_clock_mhz, after.sm_clock_mhz
    seen = {
        "gpu-throttled": bool(reasons & HARMFUL),
        "gpu-shared": bool(before.foreign_processes or after.foreign_processes),
        "gpu-clock": bool(start and end and abs(end / start - 1) > _CLOCK_DRIFT),
    }
    return tuple(tag for tag, found in seen.items() if found)


def _nvml(given: Any) -> Any:
    return given if given is not None else _loaded()


@functools.cache
def _loaded() -> Any:
    try:
        library = importlib.import_module("pynvml")
    except ImportError as error:
        raise HarnessError(
            "nvidia-ml-py is not installed, so no GPU can be seen: pip install nvidia-ml-py"
        ) from error
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        raise HarnessError(f"no NVIDIA GPU can be reached: {error}") from error
    return library


def _handle(library: Any, index: int) -> Any:
    try:
        return library.nvmlDeviceGetHandleByIndex(index)
    except library.NVMLError as error:
        raise HarnessError(f"GPU {index} cannot be reached: {error}") from error


def _ask(library: Any, question: str, *arguments: Any) -> Any:
    """Ask NVML one thing; None where this GPU, driver or pynvml does not know it."""
    try:
        return getattr(library, question)(*arguments)
    except (AttributeError, library.NVMLError):
        return None


def _gpu(library: Any, index: int) -> Gpu:
    handle = _handle(library, index)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    return Gpu(
        index=index,
        name=_text(_ask(library, "nvmlDeviceGetName", handle)) or "unknown GPU",
        memory_bytes=None if memory is None else int(memory.total),
        uuid_hash=hashlib.sha256(_uuid(library, handle).encode()).hexdigest()[:12],
        driver=_text(_ask(library, "nvmlSystemGetDriverVersion")),
    )


def _uuid(library: Any, handle: Any) -> str:
    return _text(_ask(library, "nvmlDeviceGetUUID", handle))


def _named(entry: str, gpu: Gpu, nvml: Any) -> bool:
    if entry.isdigit():
        return int(entry) == gpu.index
    library = _nvml(nvml)
    return entry.startswith("GPU-") and _uuid(library, _handle(library, gpu.index)).startswith(entry)


def _foreign(library: Any, handle: Any, own_pids: Collection[int]) -> int | None:
    running = _ask(library, "nvmlDeviceGetComputeRunningProcesses", handle)
    if running is None:
        return None
    pids = {process.pid for process in running}
    if any(not psutil.pid_exists(pid) for pid in pids):  # pids of the host, which a container cannot match
        return None
    return len(pids - set(own_pids))


def _text(value: Any) -> str:
    """Older pynvml answers in bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
