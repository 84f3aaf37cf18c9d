"""Read and parse /proc and cgroup files of Linux; None where there is nothing to read.

Parsers take text, so that tests can use recorded files; readers are thin and take the folder to use as
``/proc``. Sources: proc(5), cgroups(7), Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

TICK_S = 1.0 / (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)
"""Seconds of one USER_HZ tick: the resolution of the times in /proc/stat and /proc/PID/stat."""

_CHUNK = 1 << 16

Thread = tuple[int, str]
"""Process and thread id."""


class CoreTimes(NamedTuple):
    """Time of one core since boot, in seconds, in whole ticks."""

    busy_s: float
    steal_s: float


class ThreadTimes(NamedTuple):
    """Seconds that one thread has run since it began, and that it has waited for a core (None: unknown)."""

    cpu_s: float
    delay_s: float | None


class Usage(NamedTuple):
    """Resources that one process has used since it began, over all its threads."""

    cpu_s: float | None
    voluntary_switches: int | None
    involuntary_switches: int | None
    minor_faults: int | None
    major_faults: int | None


def read(path: str) -> str | None:
    """Return the text of a file under /proc or /sys, or None where it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(handle, _CHUNK):
            parts.append(part)
    except OSError:  # some files open but cannot be read (an offline core, a process that ended)
        return None
    finally:
        os.close(handle)
    return b"".join(parts).decode("utf-8", "replace")


def names(path: str) -> list[str]:
    """Return the names in a folder, sorted; empty where it cannot be read."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - called between Blocks, where Path costs more
    except OSError:
        return []


def numbers(text: str | None) -> dict[str, int]:
    """Parse ``name value [unit]`` lines, with or without a colon; skip lines without a whole number."""
    found: dict[str, int] = {}
    for line in (text or "").splitlines():
        words = line.replace(":", " ", 1).split()
        if len(words) >= 2 and words[1].lstrip("-").isdigit():
            found[words[0]] = int(words[1])
    return found


def number(text: str | None, name: str) -> int | None:
    """Return one number of a long ``name value`` file without parsing the rest."""
    start = f"\n{text}".find(f"\n{name} ") if text else -1
    return None if text is None or start < 0 else int(text[start + len(name) :].split(None, 1)[0])


def total(values: Sequence[Any]) -> Any:
    """Return the sum of numbers, or None if one of them is not known."""
    return None if None in values else sum(values)


def cpu_list(text: str | None) -> tuple[int, ...]:
    """Parse the kernel's list form of core ids: ``0-2,5`` is (0, 1, 2, 5)."""
    ids: set[int] = set()
    for part in (text or "").strip().split(","):
        first, _, last = part.partition("-")
        if first.strip().isdigit():
            ids.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(ids))


def core_times(stat: str | None) -> dict[int, CoreTimes]:
    """Parse /proc/stat: busy and stolen seconds of each online core.

    Busy is user, nice, system, irq and softirq; waiting for a disk is idle, and user includes guest time.
    """
    cores: dict[int, CoreTimes] = {}
    for line in (stat or "").splitlines():
        if not line.startswith("cpu"):
            break  # the cores come first; the long line of interrupts after them is not needed
        label, *fields = line.split()
        if label == "cpu" or len(fields) < 7:
            continue
        ticks = [int(field) for field in fields]
        stolen = ticks[7] if len(ticks) > 7 else 0
        cores[int(label[3:])] = CoreTimes((sum(ticks[:3]) + sum(ticks[5:7])) * TICK_S, stolen * TICK_S)
    return cores


def cgroup_dirs(cgroup: str | None, mountinfo: str | None, controller: str) -> tuple[str, ...]:
    """Return the cgroup folders that limit a process by `controller`, its own first, then its ancestors.

    `cgroup` is /proc/PID/cgroup and `mountinfo` /proc/self/mountinfo. A v1 hierarchy of that controller takes
    precedence over v2, since a controller is in only one of them. For a path outside the mount (a container
    that sees its host's path) the result is the mount's own root.
    """
    paths: dict[str, str] = {}
    for line in (cgroup or "").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    kind, key = ("cgroup", controller) if controller in paths else ("cgroup2", "")
    for line in (mountinfo or "").splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 5 or len(after) < 3 or after[0] != kind or key not in paths:
            continue
        if kind == "cgroup" and controller not in after[2].split(","):
            continue
        return _up(before[4], before[3], paths[key])
    return ()


def _up(mount: str, root: str, path: str) -> tuple[str, ...]:
    below = path[len(root.rstrip("/")) :] if path.startswith(root) else ""
    parts = [part for part in below.split("/") if part and part != ".."]
    return tuple("/".join([mount, *parts[:depth]]) for depth in range(len(parts), -1, -1))


def throttled_s(cpu_stats: Iterable[str | None]) -> float | None:
    """Sum the time that cgroups were throttled by their quotas; takes the texts of their ``cpu.stat``.

    v2 counts ``throttled_usec``, v1 ``throttled_time`` in nanoseconds. None where no text has either.
    """
    seconds = []
    for text in cpu_stats:
        counters = numbers(text)
        if "throttled_usec" in counters:
            seconds.append(counters["throttled_usec"] / 1e6)
        elif "throttled_time" in counters:
            seconds.append(counters["throttled_time"] / 1e9)
    return sum(seconds) if seconds else None


def process_usage(stat: str | None) -> Usage | None:
    """Parse /proc/PID/stat: CPU time in whole ticks and page faults; it has no context switches."""
    fields = (stat or "").rpartition(")")[2].split()  # the command's name may hold blanks and brackets
    if len(fields) < 13:
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) * TICK_S
    return Usage(cpu_s, None, None, minor_faults=int(fields[7]), major_faults=int(fields[9]))


def thread_times(pids: Iterable[int], proc: str = "/proc") -> dict[Thread, ThreadTimes]:
    """Return the times of all live threads of `pids`; empty where the system does not provide them.

    They are from schedstat (nanoseconds), else from stat (ticks of 10 ms, and no waiting).
    """
    found: dict[Thread, ThreadTimes] = {}
    for pid in pids:
        for task in names(f"{proc}/{pid}/task"):
            fields = (read(f"{proc}/{pid}/task/{task}/schedstat") or "").split()
            if len(fields) >= 2:
                found[pid, task] = ThreadTimes(int(fields[0]) / 1e9, int(fields[1]) / 1e9)
            elif usage := process_usage(read(f"{proc}/{pid}/task/{task}/stat")):
                found[pid, task] = ThreadTimes(usage.cpu_s or 0.0, None)
    return found


def descendants(pid: int, proc: str = "/proc") -> tuple[int, ...]:
    """Return the descendants of `pid`, children before grandchildren (needs CONFIG_PROC_CHILDREN, usual)."""
    found: list[int] = []
    queue = [pid]
    while queue:
        parent = queue.pop(0)
        for task in names(f"{proc}/{parent}/task"):
            text = read(f"{proc}/{parent}/task/{task}/children") or ""
            queue += [int(word) for word in text.split()]
        if parent != pid:
            found.append(parent)
    return tuple(found)
