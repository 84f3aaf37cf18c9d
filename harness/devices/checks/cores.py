"""Checks of the cores: how many are available, what else uses them, and what takes them away."""

from __future__ import annotations

import os

import psutil

from harness.devices import settings
from harness.devices.cores import cores as read_cores
from harness.devices.doctor import Seen, check
from harness.devices.host import Host
from harness.measure import procfs
from harness.measure.rules import rounding_s

_STEAL_SHARE = 0.01
_BUSY_SHARE = 0.01  # of the available cores, as for Blocks (measure/rules.py)
_BUSY_CORE = 0.1  # of one of them: in parallel work, all threads wait for the one on that core
_BUSIEST = "ps -eo pcpu,pid,comm --sort=-pcpu | head"


@check(
    "cores", "The model and the harness need cores of their own; on a single core each waits for the other."
)
def cores(host: Host) -> Seen:
    """Cores available to this process, of those that are online."""
    given = read_cores(host)
    value = f"{len(given.ids)} of {given.online} logical cores available, {given.physical} physical"
    if len(given.ids) == 1:
        return "warn", value, "use at least two cores (taskset -c 0,1 …, docker run --cpuset-cpus 0,1)"
    return "ok", value


@check("isolation", "The scheduler puts other work on cores that are not isolated, even during a call.")
def isolation(host: Host) -> Seen:
    """Cores that the kernel keeps free of other work (isolcpus)."""
    text = host.text("sys/devices/system/cpu/isolated")
    if text is None:
        return "unknown", "this system does not report which cores are isolated"
    isolated, given = set(procfs.cpu_list(text)), read_cores(host).ids
    if isolated & set(given):
        return "ok", f"isolated: {text}"
    if len(given) < 4:
        return "note", "none; there are too few cores to isolate any"
    free = ",".join(str(core) for core in sorted(given)[-2:])
    return (
        "note",
        "none",
        f"add isolcpus={free} to the kernel's command line, then taskset -c {free} harness run …",
    )


@check("smt", "Two threads on one physical core share its units, so they are slower than on two cores.")
def smt(host: Host) -> Seen:
    """Simultaneous multithreading. The harness uses one thread of each physical core first."""
    given = read_cores(host)
    if not given.smt:
        hidden = "not reported; cores of a virtual machine may still share a physical core"
        return ("note", hidden) if settings.virtual(host) else ("ok", "off")
    if given.physical < len(given.ids):
        value = f"on: {len(given.ids)} logical cores on {given.physical}; `threads: all` uses one on each"
        return "note", value, "echo off | sudo tee /sys/devices/system/cpu/smt/control"
    return "note", "on; other processes can use the siblings of the available cores"


@check("steal", "While the hypervisor runs another guest on this core, the model waits and the clock runs.")
def steal(host: Host) -> Seen:
    """Share of the available cores' time that was stolen during the check, and since boot."""
    passed_s, seen = host.window
    given, times = read_cores(host).ids, procfs.core_times(host.text("proc/stat"))
    ours = [core for core in given if core in seen]
    if not ours:
        return "unknown", "this system does not report stolen time"
    now = sum(seen[core].steal_s for core in ours) / (passed_s * len(ours))
    stolen_s = sum(times[core].steal_s for core in ours)
    busy_s = sum(times[core].busy_s for core in ours)
    ever = stolen_s / max(busy_s + stolen_s, 1e-9)
    value = f"{100 * now:.1f} % of the time now; since boot {100 * ever:.1f} % of the time with work"
    if ever > _STEAL_SHARE or now > max(_STEAL_SHARE, rounding_s(len(ours)) / (passed_s * len(ours))):
        return "warn", value, "use an instance with dedicated cores, or measure when other guests are idle"
    return "ok", value


@check("other-work", "Other processes take cores, caches and memory bandwidth during a call.")
def other_work(host: Host) -> Seen:
    """Cores that other processes used while this process slept: of the available ones, and elsewhere."""
    passed_s, seen = host.window
    ours = [core for core in read_cores(host).ids if core in seen]
    if not ours:
        return "unknown", "this system does not report the use of its cores"
    busy = sum(seen[core].busy_s for core in ours) / passed_s
    elsewhere = sum(times.busy_s for times in seen.values()) / passed_s - busy
    value = f"{busy:.2f} of {len(ours)} available cores used by other processes"
    if len(seen) > len(ours):
        value += f", {elsewhere:.2f} of the {len(seen) - len(ours)} others"
    worst = max(seen[core].busy_s for core in ours) / passed_s
    if worst > _BUSY_CORE or busy > max(_BUSY_SHARE * len(ours), rounding_s(len(ours)) / passed_s):
        return "warn", value, f"stop these processes: {_BUSIEST}"
    return "ok", value


@check("load", "With more runnable processes than cores, the model waits for a core.")
def load(host: Host) -> Seen:
    """Mean number of runnable processes over the last minute."""
    text = host.text("proc/loadavg")
    if text is None and not host.real:
        return "unknown", "this system does not report its load"
    minute, online = float(text.split()[0]) if text else os.getloadavg()[0], read_cores(host).online
    value = f"{minute:.2f} over the last minute, on {online} cores"
    if minute > online:
        return "bad", value, f"wait until the load falls, or stop processes: {_BUSIEST}"
    return ("note", value, "wait a minute") if minute > online / 2 else ("ok", value)


@check("cpu-quota", "When the quota is used up, the process stops for the rest of each 0.1 s.")
def cpu_quota(host: Host) -> Seen:
    """CPU limit of the cgroups, and how long they were throttled."""
    limit = read_cores(host).quota
    throttled_s = procfs.throttled_s(host.cgroup_texts("cpu", "cpu.stat")) or 0.0
    if limit is None:
        return "ok", "none"
    value = f"{limit:g} cores; {throttled_s:.1f} s throttled so far"
    remedy = "pin instead of limiting: docker run --cpuset-cpus 0,1 … instead of --cpus 2"
    if limit < 1:
        return "bad", value, remedy
    return ("warn" if throttled_s or limit != int(limit) else "note"), value, remedy


@check(
    "virtual-machine",
    "A guest cannot read its clock frequency, and other guests may use the same cores and memory.",
)
def virtual_machine(host: Host) -> Seen:
    """Whether this is a virtual machine."""
    on = settings.virtual(host)
    if on is None:
        return "unknown", "this system does not report it"
    if not on:
        return "ok", "no"
    kind = settings.hypervisor(host)
    return "note", f"yes ({kind})" if kind else "yes", "for differences below 2 %, measure on bare metal"


@check("container", "A container has its own limits, and processes outside it are not visible from inside.")
def container(host: Host) -> Seen:
    """The kind of container, if any."""
    kind = settings.container(host)
    if kind is None and (not host.real or not psutil.LINUX):
        return "unknown", "this system does not report it"
    return ("note", kind) if kind and kind != "none" else ("ok", "none")
