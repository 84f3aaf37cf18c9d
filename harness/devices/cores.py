"""The cores that this process may use, by NUMA node and physical core, and those that a thread budget gets.

Sources: Documentation/ABI/testing/sysfs-devices-system-cpu and sysfs-devices-node (Linux), sysctl on macOS.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

import psutil

from harness.devices.cpu import quota
from harness.devices.host import Host
from harness.measure import procfs

Nodes = tuple[tuple[tuple[int, ...], ...], ...]
"""NUMA nodes, their physical cores, and the logical cores (hardware threads) on each of these."""


class Cores(NamedTuple):
    """The cores available to this process.

    `ids` are logical cores in the order in which to use them (`choose`), no more than the cgroup's quota
    allows. `physical` is the number of physical cores among them, `online` the number of the machine's
    logical cores. `quota` is the cgroup's CPU limit in cores, None where there is none. `nodes` are all cores
    of the process's affinity.
    """

    ids: tuple[int, ...]
    physical: int
    online: int
    smt: bool
    quota: float | None
    nodes: Nodes


def cores(host: Host, affinity: Sequence[int] | None = None) -> Cores:
    """Return the cores available to this process: those of its affinity, as many as its quota allows.

    `affinity` replaces the process's own (for tests). A quota below one core still gives one.
    """
    online = procfs.cpu_list(host.text("sys/devices/system/cpu/online"))
    online = online or tuple(range((psutil.cpu_count() or 1) if host.real else 1))
    allowed = tuple(affinity) if affinity is not None else _affinity(host, online)
    limit = quota(host)
    count = len(allowed) if limit is None else min(len(allowed), max(1, int(limit)))
    nodes = _nodes(host, allowed)
    groups = list(chain.from_iterable(nodes))
    smt = any(len(_siblings(host, core) or group) > 1 for group in groups for core in group)
    return Cores(choose(nodes, count), min(count, len(groups)), len(online), smt, limit, nodes)


def choose(nodes: Nodes, threads: int, parts: int = 1) -> tuple[int, ...]:
    """Return `threads` logical cores, in equal parts one after the other; empty where that is impossible.

    Each part is for one process and shares no physical core with another part. It gets a logical core of each
    of its physical cores first, then their siblings. It lies in the first NUMA node that has enough free
    physical cores, else it takes what is free, node by node.
    """
    share, rest = divmod(threads, parts)
    width = min(share, sum(map(len, nodes)) // parts)
    # Where a part needs siblings, physical cores that have some come first.
    free = [sorted(node, key=lambda group: -len(group) if width < share else 0) for node in nodes]
    chosen: list[int] = []
    for _ in range(parts):
        taken: list[tuple[int, ...]] = []
        for node in [node for node in free if len(node) >= width][:1] or free:
            room = width - len(taken)
            taken += node[:room]
            del node[:room]
        in_turn = [core for turn in zip_longest(*taken) for core in turn if core is not None]
        chosen += in_turn[:share]
    return tuple(chosen) if not rest and len(chosen) == threads else ()


def _nodes(host: Host, allowed: Sequence[int]) -> Nodes:
    """Return the `allowed` cores by NUMA node and physical core, in the order of their numbers."""
    if host.real and not host.exists("sys/devices/system/cpu"):  # macOS, which pins nothing
        size = max(1, len(allowed) // (psutil.cpu_count(logical=False) or len(allowed)))
        return (tuple(tuple(allowed[i : i + size]) for i in range(0, len(allowed), size)),)
    node_of = _node_of(host)
    found: dict[int, dict[tuple[int, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for core in sorted(allowed):
        found[node_of.get(core, 0)][_siblings(host, core) or (core,)].append(core)
    return tuple(tuple(map(tuple, found[node].values())) for node in sorted(found))


def _node_of(host: Host) -> Mapping[int, int]:
    """Return the NUMA node of each core; empty where the system does not report it."""
    listed = {name: host.text(name) for name in host.glob("sys/devices/system/node/node[0-9]*/cpulist")}
    numbered = {int(name.split("/")[-2].removeprefix("node")): text for name, text in listed.items()}
    return {core: node for node, text in numbered.items() for core in procfs.cpu_list(text)}


def _siblings(host: Host, core: int) -> tuple[int, ...]:
    """Return the logical cores on the physical core of `core`, itself included; empty where unknown."""
    folder = f"sys/devices/system/cpu/cpu{core}/topology"
    listed = host.text(f"{folder}/core_cpus_list") or host.text(f"{folder}/thread_siblings_list")
    return procfs.cpu_list(listed)


def _affinity(host: Host, online: tuple[int, ...]) -> tuple[int, ...]:
    if host.real and hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)", host.text("proc/self/status") or "", re.MULTILINE)
    return procfs.cpu_list(allowed[1]) if allowed else online
