"""Roofs of this machine, measured: how fast it multiplies matrices and how fast it copies memory.

Rates on data sheets are for other clocks and other thread counts. Best of all runs and of all libraries that
are here, since a roof is what the machine can do undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from harness.devices.gemms.registry import Gemm, installed
from harness.errors import HarnessError
from harness.measure.clock import Clock, PerfClock, elapsed_ns
from harness.measure.noise import Probe, sentence, tags

_SIDES = (512, 1024, 2048, 4096)
_COPY_BYTES = 256 << 20  # beyond the caches of most machines; less where memory is short
_COPY_SHARE = 0.25  # of the time
_MEMORY_SHARE = 8  # take at most one eighth of the free memory
_LEAST_RUNS = 3
_DISTURBING = ("steal", "throttled", "core-shared", "foreign-cpu")  # what lowers a roof for its whole length


@dataclass(frozen=True)
class Rate:
    """The best rate of one number type: 2·n³ FLOP for an n×n product, n = `side`, by `library`."""

    dtype: str
    flop_per_s: float
    side: int
    runs: int
    library: str


@dataclass(frozen=True)
class Peaks:
    """Measured roofs at one thread budget.

    `copy_bytes_per_s` counts each byte read and each written once (a cache that first fetches what it
    overwrites moves half as much again), for an array of `copy_bytes`. `notes` say what disturbed the
    measurement: then the true roofs are higher.
    """

    threads: int
    rates: tuple[Rate, ...]
    copy_bytes_per_s: float
    copy_bytes: int
    copy_runs: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        fields = asdict(self)
        return {**fields, "rates": list(fields["rates"]), "notes": list(fields["notes"])}


def measure(
    threads: int, seconds: float = 2.0, gemms: Sequence[Gemm] | None = None, clock: Clock | None = None
) -> Peaks:
    """Measure all roofs with `threads` threads, in about `seconds`; libraries are imported besides.

    `gemms` are the products to try, by default all that are installed. Pin the process to as many cores
    before. Raises HarnessError for no threads or no time.
    """
    if threads < 1 or seconds <= 0:
        raise HarnessError(
            f"roofs need 1 thread and some time at least, not {threads} threads and {seconds} s"
        )
    clock = clock or PerfClock()
    entries = installed() if gemms is None else gemms
    for entry in entries:
        entry.prepare(8, threads)()  # imports are not disturbance
    probe = Probe()
    before = probe.read()
    each = seconds * (1 - _COPY_SHARE) / max(len(entries), 1)
    rates = [_gemm_roof(entry, threads, each, clock) for entry in entries]
    copy_rate, size, copy_runs = _copy_roof(threads, seconds * _COPY_SHARE, clock)
    disturbed = [tag for tag in tags(probe.between(before, probe.read())) if tag in _DISTURBING]
    return Peaks(
        threads=threads,
        rates=_best(rates),
        copy_bytes_per_s=copy_rate,
        copy_bytes=size,
        copy_runs=copy_runs,
        notes=tuple(f"disturbed: {sentence(tag)}" for tag in disturbed),
    )


def _best(rates: Sequence[Rate]) -> tuple[Rate, ...]:
    """Keep the fastest library of each number type."""
    best: dict[str, Rate] = {}
    for rate in rates:
        if rate.dtype not in best or rate.flop_per_s > best[rate.dtype].flop_per_s:
            best[rate.dtype] = rate
    return tuple(best.values())


def _gemm_roof(entry: Gemm, threads: int, seconds: float, clock: Clock) -> Rate:
    """Return the best rate over the sizes that fit the time."""
    rates: dict[int, float] = {}
    runs = 0
    for side in _SIDES:
        best_s, made = _best_s(entry.prepare(side, threads), seconds / len(_SIDES), clock)
        rates[side] = 2.0 * side**3 / best_s
        runs += made
        if best_s * 8 * (_LEAST_RUNS + 1) > seconds:  # the next size takes eight times as long
            break
    side = max(rates, key=lambda key: rates[key])
    return Rate(entry.dtype, rates[side], side, runs, entry.library)


def _copy_roof(threads: int, seconds: float, clock: Clock) -> tuple[float, int, int]:
    """Return the best copy rate in bytes/s (read plus written), the array's size, and the runs made."""
    room = psutil.virtual_memory().available // _MEMORY_SHARE // 2
    size = max(1 << 20, min(_COPY_BYTES, room)) // threads * threads
    with ThreadPoolExecutor(threads) as pool:
        # Each thread makes the part that it copies, so that its pages lie near its core.
        parts = list(pool.map(_pair, [size // threads] * threads))
        best_s, runs = _best_s(lambda: list(pool.map(_copy, parts)), seconds, clock)
    return 2.0 * size / best_s, size, runs


def _pair(size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.full(size, 1, np.uint8), np.full(size, 2, np.uint8)


def _copy(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    np.copyto(*pair)  # numpy releases the interpreter's lock for it


def _best_s(run: Callable[[], object], seconds: float, clock: Clock) -> tuple[float, int]:
    """Return the fastest run in seconds and how many were made: for `seconds`, and three at least."""
    run()
    begin, best_ns, runs = clock.now_ns(), 0, 0
    while runs < _LEAST_RUNS or (clock.now_ns() - begin) / 1e9 < seconds:
        before = clock.now_ns()
        run()
        took_ns = max(1, elapsed_ns(before, clock.now_ns()))
        best_ns = min(best_ns or took_ns, took_ns)
        runs += 1
    return best_ns / 1e9, runs
