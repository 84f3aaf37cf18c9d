"""Checks of what surrounds the process: its environment and the GPUs."""

from __future__ import annotations

import os
import re

from harness.devices import cuda
from harness.devices.doctor import Seen, check
from harness.devices.host import Host

# Variables that change which kernels run, where threads run, or how memory is had.
_KERNELS = r"OPENBLAS_CORETYPE|MKL_DEBUG_CPU_TYPE|MKL_ENABLE_INSTRUCTIONS|ONEDNN_MAX_CPU_ISA|DNNL_MAX_CPU_ISA"
_KERNELS += r"|NVPL_BLAS_DEBUG_CPU_TYPE|BLIS_ARCH_TYPE|ATEN_CPU_CAPABILITY"
_PLACES = r"GOMP_CPU_AFFINITY|KMP_AFFINITY|OMP_PROC_BIND|OMP_PLACES|LD_PRELOAD|DYLD_INSERT_LIBRARIES"
_COUNTS = r"(OMP|MKL|OPENBLAS|BLIS|NUMEXPR|VECLIB|TBB)_(NUM|MAXIMUM)_THREADS|MALLOC_\w+|KMP_BLOCKTIME"


@check("environment", "Such variables change kernels, threads or memory of every runtime, mostly unnoticed.")
def environment(host: Host) -> Seen:
    """Variables of this process that runtimes obey. Values are not shown: some hold paths."""
    names = sorted(os.environ) if host.real else []
    forcing = [name for name in names if re.fullmatch(f"{_KERNELS}|{_PLACES}", name)]
    counting = [name for name in names if re.fullmatch(_COUNTS, name)]
    found = forcing + counting
    if not found:
        return "ok", "none set"
    return ("warn" if forcing else "note"), f"set: {', '.join(found)}", f"unset {' '.join(found)}"


@check("gpu", "A GPU that is hot, capped, or used by others runs slower than it could.")
def gpu(host: Host) -> Seen:
    """State of the GPUs that this process may use."""
    reason = cuda.available() if host.real else "not asked"
    if reason is not None:
        return "note", f"none: {reason}"
    states = {gpu.index: (gpu, cuda.sample(gpu.index)) for gpu in cuda.visible(cuda.gpus())}
    value = "; ".join(f"{index}: {unit.name}, {_state(sample)}" for index, (unit, sample) in states.items())
    harmed = [index for index, (_, s) in states.items() if set(s.throttle_reasons or ()) & cuda.HARMFUL]
    shared = [index for index, (_, s) in states.items() if s.foreign_processes]
    if shared:
        return (
            "bad",
            value,
            "end the other processes: nvidia-smi --query-compute-apps=pid,used_memory --format=csv",
        )
    if harmed:
        return "warn", value, f"nvidia-smi -i {harmed[0]} -q -d PERFORMANCE,POWER,TEMPERATURE  # then cool it"
    return "note", value, "sudo nvidia-smi -lgc MHZ  # a fixed clock, for the steadiest timings"


def _state(sample: cuda.GpuSample) -> str:
    reasons = ", ".join(sample.throttle_reasons or ()) or "no throttling"
    return f"SM {sample.sm_clock_mhz} MHz, {sample.temperature_c} °C, {sample.power_w} W, {reasons}"
