"""NVIDIA GPUs through NVML: their identity and their state. Reads only; never changes a setting.

`nvml` is the pynvml module or its replacement in a test; by default pynvml is imported on first use.
Reference: NVIDIA Management Library API, nvmlClocksEventReasons.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
from dataclasses import dataclass
from typing import Any

import psutil

from harness.errors import HarnessError
from harness.measure.device import DeviceState

_SLOWDOWNS = {
    0x4: "power-cap",
    0x8: "hardware-slowdown",
    0x20: "thermal-software",
    0x40: "thermal-hardware",
    0x80: "power-brake",
}
"""Bits of the clock event reasons for which a GPU runs slower than its settings allow; others are states."""

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


def state(index: int, nvml: Any = None) -> DeviceState:
    """Read the state of GPU `index`, without the figures of others; takes about a millisecond."""
    library = _nvml(nvml)
    handle = _handle(library, index)
    bits = _ask(library, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:  # the name before driver 535
        bits = _ask(library, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    milliwatts = _ask(library, "nvmlDeviceGetPowerUsage", handle)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    return DeviceState(
        clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 1),  # NVML_CLOCK_SM
        memory_clock_mhz=_ask(library, "nvmlDeviceGetClockInfo", handle, 2),  # NVML_CLOCK_MEM
        slowdowns=None if bits is None else tuple(name for bit, name in _SLOWDOWNS.items() if bits & bit),
        heat_limited_s=_limited_s(library, handle, 1),  # NVML_PERF_POLICY_THERMAL
        power_limited_s=_limited_s(library, handle, 0),  # NVML_PERF_POLICY_POWER
        temperature_c=_ask(library, "nvmlDeviceGetTemperature", handle, 0),  # NVML_TEMPERATURE_GPU
        power_w=None if milliwatts is None else milliwatts / 1000,
        used_memory_bytes=None if memory is None else int(memory.used),
        free_memory_bytes=None if memory is None else int(memory.free),
    )


def processes(index: int, nvml: Any = None) -> dict[int, int | None] | None:
    """Return the device memory in bytes of each compute process on GPU `index`, by pid.

    None where it is unknown, as inside a container, where the driver's pids are those of the host.
    """
    library = _nvml(nvml)
    running = _ask(library, "nvmlDeviceGetComputeRunningProcesses", _handle(library, index))
    if running is None:
        return None
    alive = {process.pid: process.usedGpuMemory for process in running if psutil.pid_exists(process.pid)}
    return None if running and not alive else alive


def utilization(index: int, since_us: int, nvml: Any = None) -> dict[int, float]:
    """Return by pid the highest share of the time in which a process used GPU `index`, by samples since then.

    `since_us` is in microseconds since 1970. The driver takes a sample every 1/6 s to 1 s; without one, or
    where it takes none, the result is empty.
    """
    library = _nvml(nvml)
    samples = _ask(library, "nvmlDeviceGetProcessUtilization", _handle(library, index), since_us) or []
    found: dict[int, float] = {}
    for sample in samples:
        found[sample.pid] = max(found.get(sample.pid, 0.0), sample.smUtil / 100)
    return found


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


def _limited_s(library: Any, handle: Any, policy: int) -> float | None:
    status = _ask(library, "nvmlDeviceGetViolationStatus", handle, policy)
    return None if status is None else status.violationTime / 1e9  # nanoseconds


def _text(value: Any) -> str:
    """Return a value as text; older versions of pynvml return bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
