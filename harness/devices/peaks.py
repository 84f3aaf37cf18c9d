"""Roofs of this machine, measured: how fast it multiplies matrices and how fast it copies memory.

Rates on data sheets are for other clocks and other thread counts. Best of all runs, since a roof is what the
machine can do undisturbed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.measure.clock import Clock, PerfClock, elapsed_ns
from harness.measure.noise import Probe, sentence, tags

Gemm = Callable[[NDArray[np.float32], NDArray[np.float32]], Any]
"""Multiplies two square float32 matrices; returns when the product is there."""

_SIDES = (512, 1024, 2048, 4096)
_COPY_BYTES = 256 << 20  # beyond the caches of most machines; less where memory is short
_MEMORY_SHARE = 8  # take at most one eighth of the free memory
_LEAST_RUNS = 3
_DISTURBING = ("steal", "throttled", "core-shared", "foreign-cpu")  # what lowers a roof for its whole length


@dataclass(frozen=True)
class Peaks:
    """Measured roofs at one thread budget.

    `flop_per_s` counts 2·n³ for an n×n float32 product, n = `gemm_side`, by `gemm_source`. `copy_bytes_per_s`
    counts each byte read and each written once (a cache that first fetches what it overwrites moves half
    as much again), for an array of `copy_bytes`. `notes` say what a reader must know: threads that were not
    held, and what disturbed the measurement (then the true roof is higher: measure again).
    """

    threads: int
    dtype: str
    flop_per_s: float
    gemm_side: int
    gemm_runs: int
    gemm_source: str
    copy_bytes_per_s: float
    copy_bytes: int
    copy_runs: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def measure(
    threads: int,
    seconds: float = 2.0,
    gemm: Gemm | None = None,
    source: str | None = None,
    clock: Clock | None = None,
) -> Peaks:
    """Measure both roofs with `threads` threads, in about `seconds` (half for each).

    `gemm` is a runtime's own float32 product, called `source` in the result, and the caller sets its
    threads; left out, numpy's is taken. Pin the process to as many cores before.
    """
    if threads < 1 or seconds <= 0:
        raise HarnessError(
            f"roofs need 1 thread and some time at least, not {threads} threads and {seconds} s"
        )
    clock = clock or PerfClock()
    notes: list[str] = []
    probe = Probe()
    before = probe.read()
    with _thread_limit(threads, notes) if gemm is None else _unlimited():
        flop_per_s, side, gemm_runs = _gemm_roof(gemm or np.matmul, seconds / 2, clock)
    copy_rate, size, copy_runs = _copy_roof(threads, seconds / 2, clock)
    disturbed = [tag for tag in tags(probe.between(before, probe.read())) if tag in _DISTURBING]
    notes += [f"disturbed: {sentence(tag)}" for tag in disturbed]
    return Peaks(
        threads=threads,
        dtype="float32",
        flop_per_s=flop_per_s,
        gemm_side=side,
        gemm_runs=gemm_runs,
        gemm_source=source or ("numpy" if gemm is None else "given"),
        copy_bytes_per_s=copy_rate,
        copy_bytes=size,
        copy_runs=copy_runs,
        notes=tuple(notes),
    )


def _gemm_roof(gemm: Gemm, seconds: float, clock: Clock) -> tuple[float, int, int]:
    """Return the best rate in FLOP/s over the sizes that fit the time, its side, and the runs made."""
    random = np.random.default_rng(0)
    rates: dict[int, float] = {}
    runs = 0
    for side in _SIDES:
        left, right = (random.random((side, side), dtype=np.float32) for _ in range(2))
        best_s, made = _best_s(partial(gemm, left, right), seconds / len(_SIDES), clock)
        rates[side] = 2.0 * side**3 / best_s
        runs += made
        if best_s * 8 * (_LEAST_RUNS + 1) > seconds:  # the next size takes eight times as long
            break
    side = max(rates, key=lambda key: rates[key])
    return rates[side], side, runs


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


@contextmanager
def _thread_limit(threads: int, notes: list[str]) -> Iterator[None]:
    """Hold numpy's BLAS to `threads`, by threadpoolctl where it is installed."""
    try:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
    except ImportError:
        notes.append(
            "numpy's thread count was not controlled: install threadpoolctl, or set OPENBLAS_NUM_THREADS, "
            "MKL_NUM_THREADS and OMP_NUM_THREADS before starting"
        )
        yield
        return
    with limits(limits=threads, user_api="blas"):
        yield


@contextmanager
def _unlimited() -> Iterator[None]:
    yield
