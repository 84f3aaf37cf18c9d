"""NVIDIA GPUs through NVML: their identity and their state. Reads only; never changes a setting.

`nvml` is the pynvml module or its replacement in a test; by default pynvml is imported on first use.
Reference: NVIDIA Management Library API, nvmlClocksEventReasons.
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
"""Bits of the clock event reasons. Idle and set clocks are states; the others reduce the clock."""

HARMFUL = frozenset({"power-cap", "hardware-slowdown", "thermal-software", "thermal-hardware", "power-brake"})
"""Reasons for which a GPU runs slower than its settings allow."""

_CLOCK_DRIFT = 0.05  # relative change of the SM clock within a Block above which it is tagged


CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Environment of workers, so that CUDA numbers GPUs as NVML does. By default CUDA puts the fastest GPU first,
so on a machine with different GPUs the one that is used would not be the one that is watched here."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. `index` is NVML's (PCI order); `uuid_hash` distinguishes two of a kind without naming them."""

    index: int
    name: str
    memory_bytes: int | None
    uuid_hash: str
    driver: str


@dataclass(frozen=True)
class GpuState:
    """State of one GPU at one moment; None where the GPU or the driver does not report it."""

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
        return f"NVML reports an error: {error}"


def gpus(nvml: Any = None) -> tuple[Gpu, ...]:
    """List the GPUs that the driver sees; empty where there is no GPU or no driver."""
    if available(nvml) is not None:
        return ()
    library = _nvml(nvml)
    return tuple(_gpu(library, index) for index in range(library.nvmlDeviceGetCount()))


def visible(found: tuple[Gpu, ...], nvml: Any = None) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES allows, in its order; all where it is not set.

    As in CUDA, the list ends at the first entry that names no GPU. MIG slices are not supported. Numbers
    refer to PCI order, which workers use as well (CUDA_ORDER).
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
    """Return the compute capability of the first GPU that this process sees; None where it is unknown."""
    found = visible(gpus(nvml), nvml)
    if not found:
        return None
    library = _nvml(nvml)
    version = _ask(library, "nvmlDeviceGetCudaComputeCapability", _handle(library, found[0].index))
    return (int(version[0]), int(version[1])) if version is not None else None


def state(index: int, own_pids: Collection[int] = (), nvml: Any = None) -> GpuState:
    """Read the state of GPU `index`; takes about a millisecond.

    `foreign_processes` is the number of compute processes whose pid is not in `own_pids`; None inside a
    container, where pids differ from the driver's.
    """
    library = _nvml(nvml)
    handle = _handle(library, index)
    bits = _ask(library, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:  # the name before driver 535
        bits = _ask(library, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    milliwatts = _ask(library, "nvmlDeviceGetPowerUsage", handle)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    return GpuState(
        sm_clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 1),  # NVML_CLOCK_SM
        memory_clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 2),  # NVML_CLOCK_MEM
        throttle_reasons=None if bits is None else decode(bits),
        temperature_c=_ask(library, "nvmlDeviceGetTemperature", handle, 0),  # NVML_TEMPERATURE_GPU
        power_w=None if milliwatts is None else milliwatts / 1000,
        used_memory_bytes=None if memory is None else int(memory.used),
        foreign_processes=_foreign(library, handle, own_pids),
    )


def process_memory_bytes(index: int, pid: int, nvml: Any = None) -> int | None:
    """Return the device memory of `pid` by the driver; None where it does not list the process."""
    library = _nvml(nvml)
    running = _ask(library, "nvmlDeviceGetComputeRunningProcesses", _handle(library, index)) or []
    used = [process.usedGpuMemory for process in running if process.pid == pid]
    return int(used[0]) if used and used[0] is not None else None


def decode(bits: int) -> tuple[str, ...]:
    """Return the names of the clock event reasons set in `bits`."""
    return tuple(name for bit, name in _REASONS.items() if bits & bit)


def tags(before: GpuState, after: GpuState) -> tuple[str, ...]:
    """Return the kinds of noise between two states, read before and after a Block.

    ``gpu-throttled``: a harmful reason in either state. ``gpu-shared``: another process computes on the GPU.
    ``gpu-clock``: the SM clock changed by more than 5 %.
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
            "nvidia-ml-py is not installed, so no GPU can be found: pip install nvidia-ml-py"
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
    """Call one function of NVML; None where this GPU, driver or pynvml does not support it."""
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
    if any(not psutil.pid_exists(pid) for pid in pids):  # pids of the host, which mean nothing in a container
        return None
    return len(pids - set(own_pids))


def _text(value: Any) -> str:
    """Return a value as text; older versions of pynvml return bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
