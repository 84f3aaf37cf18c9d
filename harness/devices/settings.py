"""Settings of the machine that change timings: frequency, turbo, virtual machine, container."""

from __future__ import annotations

import re

from harness.devices.cpu import cpuinfo
from harness.devices.host import Host

_CPU = "sys/devices/system/cpu"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"

# Parts of process 1's cgroup path inside containers that share the host's view of cgroups.
_CONTAINERS = {"kubepods": "kubernetes", "docker": "docker", "containerd": "containerd", "lxc": "lxc"}


def governor(host: Host) -> str | None:
    """Return the frequency governor, or all of them, joined by commas, where cores differ."""
    texts = {host.text(name) for name in host.glob(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(text for text in texts if text)) or None


def turbo(host: Host) -> bool | None:
    """Whether cores may run above their base frequency."""
    no_turbo = host.number(f"{_CPU}/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    boost = host.number(f"{_CPU}/cpufreq/boost")
    return None if boost is None else boost == 1


def turbo_command(host: Host) -> str:
    """Return the command that turns turbo off on this machine."""
    if host.exists(f"{_CPU}/intel_pstate/no_turbo"):
        return f"echo 1 | sudo tee /{_CPU}/intel_pstate/no_turbo"
    return f"echo 0 | sudo tee /{_CPU}/cpufreq/boost"


def frequency_mhz(host: Host, core: int) -> tuple[int, int] | None:
    """Return the lowest and the highest frequency that `core` may have now, in MHz."""
    low = host.number(f"{_CPU}/cpu{core}/cpufreq/scaling_min_freq")
    high = host.number(f"{_CPU}/cpu{core}/cpufreq/scaling_max_freq")
    return None if low is None or high is None else (low // 1000, high // 1000)


def huge_pages(host: Host) -> str | None:
    """Return the kernel's choice of transparent huge pages: always, madvise or never."""
    chosen = re.search(r"\[(.+?)\]", host.text(HUGE_PAGES) or "")  # ``always [madvise] never``
    return chosen[1] if chosen else None


def that_shift_peaks(host: Host) -> dict[str, object]:
    """Return the settings that change measured peaks, ready for JSON."""
    return {"governor": governor(host), "turbo": turbo(host), "huge_pages": huge_pages(host)}


def virtual(host: Host) -> bool | None:
    """Whether this is a virtual machine, by the CPU's flag or the firmware's tables."""
    flag = cpuinfo(host).virtual
    return True if flag or hypervisor(host) else flag


def hypervisor(host: Host) -> str | None:
    """Return the kind of hypervisor, if it is known."""
    kind = host.text("sys/hypervisor/type")
    maker = f"{host.text('sys/class/dmi/id/sys_vendor')} {host.text('sys/class/dmi/id/product_name')}".lower()
    known = ("qemu", "kvm", "vmware", "virtualbox", "xen", "amazon ec2", "google compute engine", "openstack")
    found = next((name for name in (*known, "virtual machine") if name in maker), None)
    return None if ".metal" in maker else kind or found


def container(host: Host) -> str | None:
    """Return the kind of container around this process: ``none`` outside of one, None where unknown."""
    if host.exists(".dockerenv"):
        return "docker"
    if host.exists("run/.containerenv"):
        return "podman"
    text = host.text("proc/1/cgroup")
    if text is None:
        return None
    return next((kind for mark, kind in _CONTAINERS.items() if re.search(rf"[/-]{mark}", text)), "none")
