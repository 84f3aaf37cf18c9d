"""Memory bandwidth, measured by copying; and a call that evicts weights from the caches."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.devices.cpu import free_memory_bytes
from harness.devices.host import Host
from harness.devices.peaks.timed import Watch, best_s
from harness.measure.clock import Clock, PerfClock
from harness.measure.threads import rests

BANDWIDTH_SHARE = 0.25
"""Share of the time for peaks that copying takes."""
_BANDWIDTH_BYTES = 256 << 20  # or twice a larger last-level cache; less where memory is scarce
_FLUSH_BYTES = 64 << 20  # written before each matrix-vector product, or twice a larger last-level cache
_FLUSH_SHARE = 8 << 20  # that each thread writes at least: more than the private caches of a core
_MEMORY_SHARE = 8  # use at most one eighth of the free memory, or half where else a cache would hold all


@dataclass(frozen=True)
class Bandwidth:
    """The best rate of copying an array of `bandwidth_bytes`. `disturbed` says what disturbed it.

    `memory_bandwidth_bytes_per_s` counts each byte once as read and once as written. A cache that reads a
    line before overwriting it moves half as much again.
    """

    memory_bandwidth_bytes_per_s: float
    bandwidth_bytes: int
    bandwidth_runs: int
    disturbed: str = ""


def measure_bandwidth(
    threads: int, seconds: float, clock: Clock | None = None, host: Host | None = None
) -> Bandwidth:
    """Measure memory bandwidth for a quarter of `seconds`. Pin the process to as many cores before."""
    host = host or Host()
    free, beyond_cache = free_memory_bytes(host) or 0, 2 * _last_level_cache_bytes(host)
    room = max(free // _MEMORY_SHARE // 2, min(beyond_cache, free // 4))
    size = max(1 << 20, min(max(_BANDWIDTH_BYTES, beyond_cache), room)) // threads * threads
    with ThreadPoolExecutor(threads) as pool:
        # Each thread allocates the part that it copies, so that its pages are near its core.
        parts = list(pool.map(_pair, [size // threads] * threads))
        watch = Watch()
        best, runs = best_s(
            lambda: list(pool.map(_copy, parts)), seconds * BANDWIDTH_SHARE, clock or PerfClock()
        )
    return Bandwidth(2.0 * size / best, size, runs, watch.disturbance())


def _pair(size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.full(size, 1, np.uint8), np.full(size, 2, np.uint8)


def _copy(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    np.copyto(*pair)  # numpy releases the interpreter's lock meanwhile


@contextmanager
def flushing(threads: int) -> Iterator[Callable[[], object]]:
    """Give a call that evicts everything from the caches, including the private caches of each core.

    One thread a core writes, since a thread reaches only the private caches of its own core. They start when
    the library's threads have stopped spinning.
    """
    size = max(_FLUSH_BYTES, 2 * _last_level_cache_bytes(Host()))
    together = threading.Barrier(threads)  # otherwise a fast thread would write another's part too

    def write(part: NDArray[np.uint8]) -> None:
        together.wait()
        np.add(part, 1, out=part)

    def flush() -> None:
        rests(step_s=0.002, limit_s=0.1)
        list(pool.map(write, parts))

    parts = [np.zeros(max(_FLUSH_SHARE, size // threads), np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        yield flush


def _last_level_cache_bytes(host: Host) -> int:
    """Return the size of the first core's largest cache; 0 where it is unknown."""
    texts = [host.text(name) or "" for name in host.glob("sys/devices/system/cpu/cpu0/cache/index*/size")]
    sizes = [re.fullmatch(r"(\d+)([KM]?)", text.strip()) for text in texts]
    return max((int(m[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20}[m[2]] for m in sizes if m), default=0)
