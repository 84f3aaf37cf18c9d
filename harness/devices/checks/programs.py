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
_PLACES = r"GOMP_CPU_AFFINITY|KMP_AFFINITY|OMP_PROC_BIND|OMP_PLACES|LD_PRELOAD|DYLD_INSERT_LIBRARIES"
_COUNTS = r"(OMP|MKL|OPENBLAS|BLIS|NUMEXPR|VECLIB|TBB)_(NUM|MAXIMUM)_THREADS|MALLOC_\w+|KMP_BLOCKTIME"


@check("environment", "These variables change kernels, threads or memory of every runtime without a message.")
def environment(host: Host) -> Seen:
    """Variables of this process that runtimes read. Values are not shown, since some are paths."""
    names = sorted(os.environ) if host.real else []
    forcing = [name for name in names if re.fullmatch(f"{_KERNELS}|{_PLACES}", name)]
    counting = [name for name in names if re.fullmatch(_COUNTS, name)]
    found = forcing + counting
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
