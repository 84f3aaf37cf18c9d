"""Roofs of this machine, measured: how fast it multiplies in each number type, and how fast memory is.

Rates on data sheets are for other clocks and other thread counts. Best of all runs and of all libraries that
are here, since a roof is what the machine can do undisturbed.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from harness.devices.cpu import cpuinfo
from harness.devices.gemms.registry import GEMMS, WEIGHT_BITS, Gemm
from harness.devices.host import Host
from harness.errors import HarnessError
from harness.measure.clock import Clock, PerfClock, elapsed_ns
from harness.measure.noise import Probe, sentence, tags

_SIDES = (512, 1024, 2048, 4096)
_COPY_BYTES = 256 << 20  # beyond the caches of most machines; less where memory is short
_WEIGHT_SIDE = 4096  # of the matrix in a matrix-vector product
_FLUSH_BYTES = 64 << 20  # written before each matrix-vector product; with a larger last-level cache, twice it
_FLUSH_SHARE = 8 << 20  # of it that each thread writes at least: beyond the private caches of a core
_COPY_SHARE = 0.25  # of the time
_GEMM_SHARE, _WEIGHT_SHARE = 0.125, 0.05  # of the time, for each product
_MEMORY_SHARE = 8  # take at most one eighth of the free memory
_LEAST_RUNS = 3
_TRIED_SIDE = 64
_DISTURBING = ("steal", "throttled", "core-shared", "foreign-cpu")  # what lowers a roof for its whole length


@dataclass(frozen=True)
class Rate:
    """The best rate of one number type: 2·n³ FLOP for an n×n product, n = `side`, by `library`'s `kernel`.

    `dtype` is the type of the weights, `arithmetic` the one that is multiplied: float32 where the kernel
    widens what it reads, int8 where it rounds activations for 4-bit weights.

    `weight_bytes_per_s` is that of a matrix-vector product, as at batch 1: stored bytes of 4096² weights of
    `weight_bits` over time, none of them in the caches. It may be another kernel's, `weight_kernel`.
    """

    dtype: str
    flop_per_s: float
    side: int
    runs: int
    library: str
    kernel: str
    arithmetic: str
    weight_bits: int
    weight_bytes_per_s: float | None = None
    weight_kernel: str = ""


@dataclass(frozen=True)
class Peaks:
    """Measured roofs at one thread budget.

    `copy_bytes_per_s` counts each byte read and each written once (a cache that first fetches what it
    overwrites moves half as much again), for an array of `copy_bytes`. `notes` say what disturbed the
    measurement: then the true roofs are higher. `left_out` says which products were not measured, and why.
    """

    threads: int
    rates: tuple[Rate, ...]
    copy_bytes_per_s: float
    copy_bytes: int
    copy_runs: int
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        fields = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def measure(
    threads: int, seconds: float = 2.0, gemms: Sequence[Gemm] | None = None, clock: Clock | None = None
) -> Peaks:
    """Measure all roofs with `threads` threads; libraries are imported besides.

    Copying takes a quarter of `seconds`, each product a sixth. `gemms` are the products to try, by default
    all; one that is not installed or fails at any size is left out. Pin the process to as many cores before.
    Raises HarnessError for no threads or no time.
    """
    if threads < 1 or seconds <= 0:
        raise HarnessError(
            f"roofs need 1 thread and some time at least, not {threads} threads and {seconds} s"
        )
    clock = clock or PerfClock()
    entries, left_out = _usable(list(GEMMS.values()) if gemms is None else gemms, threads)
    features = cpuinfo(Host()).flags
    probe = Probe()
    before = probe.read()
    rates = []
    for entry in entries:
        try:
            rate, failed = _rate(entry, threads, seconds, clock, features)
            rates.append(rate)
            left_out += failed
        except Exception as error:  # at its real size, or for want of memory
            left_out.append(_reason(entry.name, error))
        gc.collect()  # its session and thread pool go before the next is measured
    copy_rate, size, copy_runs = _copy_roof(threads, seconds * _COPY_SHARE, clock)
    disturbed = [tag for tag in tags(probe.between(before, probe.read())) if tag in _DISTURBING]
    return Peaks(
        threads=threads,
        rates=best(rates),
        copy_bytes_per_s=copy_rate,
        copy_bytes=size,
        copy_runs=copy_runs,
        notes=tuple(f"disturbed: {sentence(tag)}" for tag in disturbed),
        left_out=tuple(left_out),
    )


def _usable(entries: Sequence[Gemm], threads: int) -> tuple[list[Gemm], list[str]]:
    """Try each product once, which imports its library; return those that work, and why others do not."""
    usable, left_out = [], []
    for entry in entries:
        reason = entry.missing()
        if entry.dtype not in WEIGHT_BITS:
            reason = f"{entry.name}: no number type of roofs, which are {', '.join(WEIGHT_BITS)}"
        if reason is None:
            try:
                entry.prepare(_TRIED_SIDE, _TRIED_SIDE, threads)()
            except Exception as error:  # libraries have errors of their own
                reason = _reason(entry.name, error)
        if reason is None:
            usable.append(entry)
        else:
            left_out.append(reason)
    return usable, left_out


def _reason(name: str, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{name}: {lines[0]}"


def work_s(seconds: float, products: int) -> float:
    """Seconds that `measure` means to take with so many products, besides what making them takes."""
    return seconds * (_COPY_SHARE + products * (_GEMM_SHARE + _WEIGHT_SHARE))


def best(rates: Sequence[Rate]) -> tuple[Rate, ...]:
    """Keep the fastest of each number type: its product, and its matrix-vector product."""
    kept: dict[str, Rate] = {}
    for rate in rates:
        kept[rate.dtype] = _faster(kept[rate.dtype], rate) if rate.dtype in kept else rate
    return tuple(kept.values())


def _faster(one: Rate, other: Rate) -> Rate:
    product = max(one, other, key=lambda rate: rate.flop_per_s)
    vector = max(one, other, key=lambda rate: rate.weight_bytes_per_s or 0.0)
    return replace(product, weight_bytes_per_s=vector.weight_bytes_per_s, weight_kernel=vector.weight_kernel)


def _rate(
    entry: Gemm, threads: int, seconds: float, clock: Clock, features: frozenset[str]
) -> tuple[Rate, list[str]]:
    """Measure one product, over the sizes that fit the time, and its matrix-vector product.

    Where the latter alone fails, the rate is without it and the reason is returned.
    """
    rates, runs = _gemm_roof(entry, threads, seconds * _GEMM_SHARE, clock)
    side = max(rates, key=lambda key: rates[key])
    rate = Rate(
        dtype=entry.dtype,
        flop_per_s=rates[side],
        side=side,
        runs=runs,
        library=entry.library,
        kernel=entry.kernel,
        arithmetic=entry.arithmetic(features),
        weight_bits=WEIGHT_BITS[entry.dtype],
    )
    try:
        weights = _weight_roof(entry, threads, seconds * _WEIGHT_SHARE, clock)
    except Exception as error:  # libraries have errors of their own
        return rate, [_reason(f"{entry.name} with one row", error)]
    return replace(rate, weight_bytes_per_s=weights, weight_kernel=f"{entry.library} {entry.kernel}"), []


def _gemm_roof(entry: Gemm, threads: int, seconds: float, clock: Clock) -> tuple[dict[int, float], int]:
    """Return FLOP/s by size, and the runs made."""
    rates: dict[int, float] = {}
    runs = 0
    for side in _SIDES:
        best_s, made = _best_s(entry.prepare(side, side, threads), seconds / len(_SIDES), clock)
        rates[side] = 2.0 * side**3 / best_s
        runs += made
        if best_s * 8 * (_LEAST_RUNS + 1) > seconds:  # the next size takes eight times as long
            break
    return rates, runs


def _weight_roof(entry: Gemm, threads: int, seconds: float, clock: Clock) -> float:
    """Return the bytes/s of weights that a product of one row reads from memory."""
    product = entry.prepare(1, _WEIGHT_SIDE, threads)
    with _flushing(threads) as flush:
        best_s, _ = _best_s(product, seconds, clock, flush)
    return _WEIGHT_SIDE**2 * WEIGHT_BITS[entry.dtype] / 8 / best_s


@contextmanager
def _flushing(threads: int) -> Iterator[Callable[[], object]]:
    """Give the call that drives all else out of the caches, those of single cores as well.

    So many threads write at once, since one reaches the private caches of its own core alone.
    """
    size = max(_FLUSH_BYTES, 2 * _last_level_cache_bytes(Host()))
    together = threading.Barrier(threads)  # else a quick thread would write another's share too

    def write(part: NDArray[np.uint8]) -> None:
        together.wait()
        np.add(part, 1, out=part)

    parts = [np.zeros(max(_FLUSH_SHARE, size // threads), np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        yield lambda: list(pool.map(write, parts))


def _last_level_cache_bytes(host: Host) -> int:
    """Size of the first core's largest cache; 0 where the system does not tell."""
    texts = [host.text(name) or "" for name in host.glob("sys/devices/system/cpu/cpu0/cache/index*/size")]
    sizes = [re.fullmatch(r"(\d+)([KM]?)", text.strip()) for text in texts]
    return max((int(m[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20}[m[2]] for m in sizes if m), default=0)


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


def _best_s(
    run: Callable[[], object], seconds: float, clock: Clock, before: Callable[[], object] = lambda: None
) -> tuple[float, int]:
    """Return the fastest run in seconds and how many were made: for `seconds`, and three at least.

    `before` is called ahead of each run and not timed.
    """
    run()
    begin, best_ns, runs = clock.now_ns(), 0, 0
    while runs < _LEAST_RUNS or (clock.now_ns() - begin) / 1e9 < seconds:
        before()
        start = clock.now_ns()
        run()
        took_ns = max(1, elapsed_ns(start, clock.now_ns()))
        best_ns = min(best_ns or took_ns, took_ns)
        runs += 1
    return best_ns / 1e9, runs
