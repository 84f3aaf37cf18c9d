"""Pin processes to cores, find threads that may leave them, and wait until threads rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from harness.measure import procfs

RESTING_SHARE = 0.1
"""A process rests when it uses less than this share of one core. Looking costs some of it."""


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


def rests(step_s: float, limit_s: float, cpu_s: Callable[[], float] = time.process_time) -> bool:
    """Wait until threads have stopped spinning, at most `limit_s`; return whether they have.

    `cpu_s` returns the CPU time used so far, by default that of this process. It is read each `step_s`.
    """
    for _ in range(round(limit_s / step_s)):
        before = cpu_s()
        time.sleep(step_s)
        if cpu_s() - before < RESTING_SHARE * step_s:
            return True
    return False
