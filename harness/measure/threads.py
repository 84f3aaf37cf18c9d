"""Pin processes to cores, and count the threads that worked in a Block. Nothing is read while timing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from harness.measure import procfs

BUSY_SHARE = 0.05
"""A thread counts as working if it was on a core for this share of the Block's wall time. A thread that only
spins counts too, because it occupies its core."""

Times = Mapping[tuple[int, int], float]
"""CPU seconds of each thread since it began, by process and thread id."""


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Pin this thread to `cores`, and with it for all their life the processes that it starts meanwhile.

    So all threads of a process are pinned, also those of a library that starts its pool when it is imported.
    Does nothing without cores, or where the system cannot pin. Raises OSError for cores that are not there.
    """
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores_outside(cores: Sequence[int], tasks: str = "/proc/self/task") -> list[int]:
    """Return the cores beside `cores` that threads of this process may use; none for a process not pinned."""
    found: set[int] = set()
    for task in procfs.names(tasks) if cores else ():
        with suppress(OSError):  # the thread has ended
            found |= os.sched_getaffinity(int(task))
    return sorted(found - set(cores))


class ThreadMeter:
    """Watches the threads of `pids`, by default of this process.

    The first process is watched only if it is the only one: with replicas it distributes work and does none.
    """

    def __init__(self, pids: Sequence[int] | None = None, proc: str = "/proc") -> None:
        known = tuple(pids) if pids else (os.getpid(),)
        self._pids = known[1:] or known
        self._proc = proc

    def read(self) -> Times:
        """Return the CPU time of all live threads; empty where the system does not provide it."""
        found = {}
        for pid in self._pids:
            for task in procfs.names(f"{self._proc}/{pid}/task"):
                seconds = self._cpu_s(f"{self._proc}/{pid}/task/{task}")
                if seconds is not None:
                    found[pid, int(task)] = seconds
        return found

    def _cpu_s(self, task: str) -> float | None:
        """Return CPU seconds from schedstat (nanoseconds), else from stat (ticks of 10 ms); see proc(5)."""
        fields = (procfs.read(f"{task}/schedstat") or "").split()
        if len(fields) >= 2:
            return int(fields[0]) / 1e9
        usage = procfs.process_usage(procfs.read(f"{task}/stat"))
        return usage.cpu_s if usage else None


def threads_used(before: Times, after: Times, wall_s: float) -> int | None:
    """Return how many threads worked between two readings `wall_s` apart; None where unknown."""
    if not after or wall_s <= 0:
        return None
    return sum(seconds - before.get(thread, 0.0) >= BUSY_SHARE * wall_s for thread, seconds in after.items())
