"""The processor, and the limits of this process's cgroups, read from /proc and /sys, or by sysctl on macOS.

Parsers take text; readers take a `Host`. Sources: proc(5), Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from harness.devices.host import Host
from harness.measure import procfs

# The features by which runtimes choose kernels. The list is fixed, so that a Linux kernel that reports one
# more feature does not change a machine's identity.
ISA_FEATURES = (
    *(
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx_vnni",
        "avx_vnni_int8",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
    ),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme"),
)

# Arm's main ID register (MIDR): implementers and parts, as in the kernel's arch/arm64/include/asm/cputype.h
_ARM_MAKERS = {
    0x41: "Arm",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x61: "Apple",
    0xC0: "Ampere",
}
_ARM_PARTS = {
    0xD03: "Cortex-A53",
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD40: "Neoverse-V1",
    0xD49: "Neoverse-N2",
    0xD4F: "Neoverse-V2",
}
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63


@dataclass(frozen=True)
class CpuInfo:
    """The first core by /proc/cpuinfo; empty where unknown. `virtual` is the hypervisor flag."""

    vendor: str = ""
    model_name: str = ""
    family: str = ""
    model: str = ""
    stepping: str = ""
    microcode: str = ""
    flags: frozenset[str] = frozenset()
    virtual: bool | None = None

    @property
    def isa(self) -> tuple[str, ...]:
        """The features of `ISA_FEATURES` that the processor has, in that order."""
        return tuple(name for name in ISA_FEATURES if name in self.flags)


def parse_cpuinfo(text: str | None) -> CpuInfo:
    """Parse /proc/cpuinfo of x86 or Arm."""
    fields: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    if "CPU implementer" in fields:
        return _parse_arm(fields)
    flags = frozenset(fields.get("flags", "").split())
    return CpuInfo(
        vendor=fields.get("vendor_id", ""),
        model_name=fields.get("model name", ""),
        family=fields.get("cpu family", ""),
        model=fields.get("model", ""),
        stepping=fields.get("stepping", ""),
        microcode=fields.get("microcode", ""),
        flags=flags,
        virtual="hypervisor" in flags if flags else None,
    )


def _parse_arm(fields: Mapping[str, str]) -> CpuInfo:
    maker, part = int(fields["CPU implementer"], 16), int(fields.get("CPU part", "0"), 16)
    vendor = _ARM_MAKERS.get(maker, f"implementer {maker:#x}")
    return CpuInfo(
        vendor=vendor,
        model_name=fields.get("model name") or f"{vendor} {_ARM_PARTS.get(part, f'part {part:#x}')}",
        family=fields.get("CPU architecture", ""),
        model=fields.get("CPU part", ""),
        stepping=f"{fields.get('CPU variant', '')}r{fields.get('CPU revision', '')}",
        flags=frozenset(fields.get("Features", "").split()),
    )


def parse_quota(cpu_max: str) -> float | None:
    """Parse a v2 ``cpu.max`` (quota and period in µs) into cores; None for ``max``."""
    quota, _, period = cpu_max.partition(" ")
    return int(quota) / int(period or 100_000) if quota.isdigit() else None


def cpuinfo(host: Host) -> CpuInfo:
    """Read the processor's description, from sysctl where there is no /proc/cpuinfo."""
    text = host.text("proc/cpuinfo")
    if text or not host.real:
        return parse_cpuinfo(text)
    brand = _sysctl("machdep.cpu.brand_string") or platform.processor()
    features = {"hw.optional.avx2_0": "avx2", "hw.optional.arm.FEAT_DotProd": "asimddp"}
    features |= {"hw.optional.arm.FEAT_I8MM": "i8mm", "hw.optional.arm.FEAT_BF16": "bf16"}
    flags = frozenset(flag for name, flag in features.items() if _sysctl(name) == "1")
    return CpuInfo(vendor=brand.partition(" ")[0], model_name=brand, flags=flags)


def _sysctl(name: str) -> str | None:
    if platform.system() != "Darwin":
        return None
    try:
        asked = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def quota(host: Host) -> float | None:
    """Return the tightest CPU limit of this process's cgroups, in cores, or None."""
    limits = [parse_quota(text) for text in host.cgroup_texts("cpu", "cpu.max")]
    quotas = host.cgroup_texts("cpu", "cpu.cfs_quota_us")
    periods = host.cgroup_texts("cpu", "cpu.cfs_period_us")
    limits += [parse_quota(f"{q} {p}") for q, p in zip(quotas, periods, strict=False)]
    return min((limit for limit in limits if limit is not None), default=None)


def memory_bytes(host: Host) -> int | None:
    """Return the memory that this process may use: the machine's, or the limit of its cgroups."""
    total = _meminfo(host, "MemTotal")
    if total is None:
        return int(psutil.virtual_memory().total) if host.real else None
    limit = memory_limit_bytes(host)
    return min(total, limit) if limit else total


def free_memory_bytes(host: Host) -> int | None:
    """Return the memory that is free for this process: the machine's, or what its cgroups still allow.

    A page cache that can be given up counts as free, as in the kernel's own MemAvailable (proc(5)).
    """
    free = _meminfo(host, "MemAvailable")
    if free is None:
        return int(psutil.virtual_memory().available) if host.real else None
    rooms = (limit - _used_bytes(host, folder) for folder, limit in _memory_limits(host))
    return max(min([free, *rooms]), 0)


def memory_limit_bytes(host: Host) -> int | None:
    """Return the tightest memory limit of this process's cgroups in bytes, or None."""
    return min((limit for _, limit in _memory_limits(host)), default=None)


def _meminfo(host: Host, name: str) -> int | None:
    kib = procfs.numbers(host.text("proc/meminfo")).get(name)
    return None if kib is None else kib * 1024


def _memory_limits(host: Host) -> list[tuple[str, int]]:
    """Return the cgroups that limit memory, with the limit in bytes; v2 names it otherwise than v1."""
    limits = [
        (folder, host.number(f"{folder}/{name}"))
        for folder in host.cgroups("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return [(folder, limit) for folder, limit in limits if limit is not None and limit < _UNLIMITED_BYTES]


def _used_bytes(host: Host, folder: str) -> int:
    """Return the memory that a cgroup and those below it use, without the page cache that can be given up."""
    names = ("memory.current", "memory.usage_in_bytes")
    used = next((n for n in (host.number(f"{folder}/{name}") for name in names) if n is not None), 0)
    counted = procfs.numbers(host.text(f"{folder}/memory.stat"))
    cache = sum(
        counted.get(f"total_{name}", counted.get(name, 0))  # in v1, only total_… includes those below
        for name in ("inactive_file", "active_file", "slab_reclaimable")
    )
    return max(used - cache, 0)
