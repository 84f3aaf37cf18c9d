"""Checks of the process's environment and of the GPUs."""

from __future__ import annotations

import os
import re

from harness.devices import cuda
from harness.devices.doctor import Seen, check
from harness.devices.host import Host
from harness.measure.device import DeviceState

# Variables that change which kernels run, where threads run, or how memory is allocated.
_KERNELS = r"OPENBLAS_CORETYPE|MKL_DEBUG_CPU_TYPE|MKL_ENABLE_INSTRUCTIONS|ONEDNN_MAX_CPU_ISA|DNNL_MAX_CPU_ISA"
_KERNELS += r"|NVPL_BLAS_DEBUG_CPU_TYPE|BLIS_ARCH_TYPE|ATEN_CPU_CAPABILITY"
_LOADED = r"LD_PRELOAD|DYLD_INSERT_LIBRARIES"
_TUNING = r"(BLIS|NUMEXPR|VECLIB|TBB)_(NUM|MAXIMUM)_THREADS|MALLOC_\w+"


@check("environment", "These variables change kernels, threads or memory of every runtime without a message.")
def environment(host: Host) -> Seen:
    """Variables that runtimes read, but for those that workers do not get. Values may be paths: not shown."""
    names = sorted(os.environ) if host.real else []
    forcing = [name for name in names if re.fullmatch(f"{_KERNELS}|{_LOADED}", name)]
    found = forcing + [name for name in names if re.fullmatch(_TUNING, name)]
    if not found:
        return "ok", "none set"
    return ("warn" if forcing else "note"), f"set: {', '.join(found)}", f"unset {' '.join(found)}"


@check("gpu", "A GPU that is hot, power-capped or used by other processes runs slower.")
def gpu(host: Host) -> Seen:
    """State of the GPUs that this process may use."""
    reason = cuda.available() if host.real else "not examined"
    if reason is not None:
        return "note", f"none: {reason}"
    states = [(unit, cuda.state(unit.index)) for unit in cuda.visible(cuda.gpus())]
    value = "; ".join(f"{unit.index}: {unit.name}, {_describe(state)}" for unit, state in states)
    harmed = [unit.index for unit, s in states if s.slowdowns]
    if any(cuda.processes(unit.index) for unit, _ in states):
        return (
            "bad",
            value,
            "end the other processes: nvidia-smi --query-compute-apps=pid,used_memory --format=csv",
        )
    if harmed:
        return "warn", value, f"nvidia-smi -i {harmed[0]} -q -d PERFORMANCE,POWER,TEMPERATURE  # then cool it"
    return "note", value, "sudo nvidia-smi -lgc MHZ  # a fixed clock, for the steadiest timings"


def _describe(state: DeviceState) -> str:
    reasons = ", ".join(state.slowdowns or ()) or "no throttling"
    return f"SM {state.clock_mhz} MHz, {state.temperature_c} °C, {state.power_w} W, {reasons}"
