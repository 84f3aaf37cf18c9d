"""Checks of memory: free memory, limits, swap, huge pages, address layout and NUMA."""

from __future__ import annotations

import psutil

from harness.devices import settings
from harness.devices.cpu import free_memory_bytes, memory_bytes, memory_limit_bytes
from harness.devices.doctor import Seen, check
from harness.devices.host import Host
from harness.measure import procfs

_GIB = 1 << 30
_KIB = 1024
_NO_RANDOM = 0x0040000  # ADDR_NO_RANDOMIZE, personality(2)


@check("memory", "If memory is short, pages of the model are evicted and read again during timing.")
def memory(host: Host) -> Seen:
    """Memory that is available to this process without swapping."""
    free, total = free_memory_bytes(host), memory_bytes(host)
    if free is None or total is None:
        return "unknown", "this system does not report its memory"
    value = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free < _GIB or free < total / 10:
        return "warn", value, "end processes that use much memory: ps -eo rss,pid,comm --sort=-rss | head"
    return "ok", value


@check(
    "memory-limit",
    "A process above its cgroup's limit is killed; near the limit the kernel reclaims its pages.",
)
def memory_limit(host: Host) -> Seen:
    """Memory limit of the cgroups."""
    limit = memory_limit_bytes(host)
    if limit is None:
        return "ok", "none"
    return "note", f"{limit / _GIB:.1f} GiB", "give the container more: docker run --memory …"


@check("swap", "A page that was swapped out costs a disk access, which looks like a slow call.")
def swap(host: Host) -> Seen:
    """Size of the swap, and how much is used."""
    known = procfs.numbers(host.text("proc/meminfo"))
    if "SwapTotal" in known:
        total, used = known["SwapTotal"] * _KIB, (known["SwapTotal"] - known.get("SwapFree", 0)) * _KIB
    elif host.real:
        total, used = psutil.swap_memory().total, psutil.swap_memory().used
    else:
        return "unknown", "this system does not report its swap"
    if not total:
        return "ok", "none"
    value = f"{used / _GIB:.1f} of {total / _GIB:.1f} GiB used"
    return ("warn", value, "sudo swapoff -a") if used else ("note", value, "sudo swapoff -a")


@check(
    "huge-pages",
    "With `always`, the kernel merges pages in the background at any time; memory use looks larger.",
)
def huge_pages(host: Host) -> Seen:
    """Transparent huge pages; `madvise` leaves the choice to the program."""
    choice = settings.huge_pages(host)
    if choice is None:
        return "unknown", "this system has no such setting"
    if choice != "always":
        return "ok", choice
    return "note", choice, f"echo madvise | sudo tee /{settings.HUGE_PAGES}"


@check(
    "aslr",
    "Without random addresses all processes have one layout, and a lucky layout looks like a speed-up.",
)
def aslr(host: Host) -> Seen:
    """Must stay on, so that Trials have different layouts (Mytkowicz et al., 2009, on measurement bias)."""
    setting = host.number("proc/sys/kernel/randomize_va_space")
    if setting is None:
        return "unknown", "this system does not report it"
    personality = host.text("proc/self/personality")
    if personality and int(personality, 16) & _NO_RANDOM:
        return "warn", "on, but switched off for this process", "start without setarch -R or a debugger"
    if setting == 2:
        return "ok", "on"
    return "warn", "off" if setting == 0 else "partly on", "sudo sysctl kernel.randomize_va_space=2"


@check("numa", "Memory of another node is slower, and automatic balancing moves pages during a call.")
def numa(host: Host) -> Seen:
    """Memory nodes, and whether the kernel moves pages between them."""
    nodes = len(host.glob("sys/devices/system/node/node[0-9]*"))
    balancing = host.number("proc/sys/kernel/numa_balancing")
    if not nodes:
        return "unknown", "this system reports no memory nodes"
    if nodes == 1:
        return "ok", "one node"
    if balancing:
        return "warn", f"{nodes} nodes, balancing on", "sudo sysctl kernel.numa_balancing=0"
    return "note", f"{nodes} nodes, balancing off", "numactl --cpunodebind=0 --membind=0 harness run …"
