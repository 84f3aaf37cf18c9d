"""Peak FLOP/s of this machine, measured: the speed of its libraries' matrix products in each dtype.

Data sheets state peaks for other clocks and thread counts. The peak is the best of all runs and of all
installed libraries, since it stands for the undisturbed machine. Measure each library in its own process:
thread pools spin for a while after a product, so those of two libraries would compete for the cores.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.devices.cpu import cpuinfo
from harness.devices.host import Host
from harness.devices.peaks.bandwidth import flushing
from harness.devices.peaks.registry import WEIGHT_BITS, Gemm
from harness.devices.peaks.timed import MIN_RUNS, Watch, best_s
from harness.errors import HarnessError, first_line
from harness.measure.clock import Clock, PerfClock

_SIDES = (512, 1024, 2048, 4096)
_WEIGHT_SIDE = 4096  # of the matrix in a matrix-vector product
_GEMM_SHARE, _WEIGHT_SHARE = 0.125, 0.05  # of the time, for each product
_TRIED_SIDE = 64
_ROUNDS = 2  # the second over the products that were disturbed in the first
WITH_ONE_ROW = " with one row"
"""Suffix of a product's name that stands for its matrix-vector product."""


@dataclass(frozen=True)
class Rate:
    """The best rate of one dtype: 2·n³ FLOP for an n×n product, n = `side`, by `library`'s `kernel`.

    `dtype` is that of the weights, `compute_dtype` that of the multiplication: float32 where the kernel
    widens what it reads, int8 where it rounds activations for 4-bit weights.

    `weight_bytes_per_s` is the rate of a matrix-vector product, as at batch 1: stored bytes of 4096² weights
    of `weight_bits` over time, with no weight in a cache. It may be from another kernel, `weight_kernel`.
    """

    dtype: str
    flop_per_s: float
    side: int
    runs: int
    library: str
    kernel: str
    compute_dtype: str
    weight_bits: int
    weight_bytes_per_s: float | None = None
    weight_kernel: str = ""


@dataclass
class Products:
    """The rates of a list of products with one number of threads.

    `disturbed` maps a product (``torch/int8``, ``torch/int8 with one row``) to what disturbed it in both
    rounds; its true rate may be higher. `left_out` lists products that were not measured, with the reason.
    """

    rates: list[Rate] = field(default_factory=list)
    disturbed: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def measure_products(
    gemms: Sequence[Gemm], threads: int, seconds: float = 2.0, clock: Clock | None = None
) -> Products:
    """Measure each of `gemms` for a sixth of `seconds`, and a second time where it was disturbed.

    A product that is not installed or fails at any size is left out. Pin the process to as many cores before.
    Raises HarnessError for no threads or no time.
    """
    if threads < 1 or seconds <= 0:
        raise HarnessError(
            f"peaks need at least 1 thread and some time, not {threads} threads and {seconds} s"
        )
    made = Products()
    meter = _Meter(threads, seconds, clock or PerfClock(), cpuinfo(Host()).flags, made)
    pending = _usable(gemms, threads, made.left_out)
    for _ in range(_ROUNDS):
        pending = [entry for entry in pending if not meter.undisturbed(entry)]
    made.rates = list(best(made.rates))
    return made


def _usable(entries: Sequence[Gemm], threads: int, left_out: list[str]) -> list[Gemm]:
    """Run each product once, which imports its library. Return those that work; add reasons to `left_out`."""
    usable = []
    for entry in entries:
        reason = entry.missing()
        if entry.dtype not in WEIGHT_BITS:
            reason = f"{entry.name}: unknown dtype; allowed: {', '.join(WEIGHT_BITS)}"
        if reason is None:
            try:
                entry.prepare(_TRIED_SIDE, _TRIED_SIDE, threads)()
            except Exception as error:  # a library may raise any error
                reason = reason_of(entry.name, error)
        if reason is None:
            usable.append(entry)
        else:
            left_out.append(reason)
    return usable


def reason_of(name: str, error: Exception) -> str:
    """Return why the product `name` is left out."""
    return f"{name}: {first_line(error)}"


def work_s(seconds: float, products: int) -> float:
    """Return the seconds that so many products take at most, without making their matrices."""
    return seconds * products * _ROUNDS * (_GEMM_SHARE + _WEIGHT_SHARE)


def best(rates: Sequence[Rate]) -> tuple[Rate, ...]:
    """Keep the fastest product and the fastest matrix-vector product of each dtype."""
    kept: dict[str, Rate] = {}
    for rate in rates:
        kept[rate.dtype] = _faster(kept[rate.dtype], rate) if rate.dtype in kept else rate
    return tuple(kept.values())


def _faster(one: Rate, other: Rate) -> Rate:
    product = max(one, other, key=lambda rate: rate.flop_per_s)
    vector = max(one, other, key=lambda rate: rate.weight_bytes_per_s or 0.0)
    return replace(product, weight_bytes_per_s=vector.weight_bytes_per_s, weight_kernel=vector.weight_kernel)


@dataclass(frozen=True)
class _Meter:
    """Measures products and adds the results to `made`. `calm` holds those that were undisturbed once."""

    threads: int
    seconds: float
    clock: Clock
    features: frozenset[str]
    made: Products
    calm: set[str] = field(default_factory=set)

    def undisturbed(self, entry: Gemm) -> bool:
        """Measure `entry`, add the result, and return whether no second round is needed."""
        try:
            rate, disturbed = self._rate(entry)
        except Exception as error:  # at its real size, or for lack of memory
            self._leave_out(entry.name, error)
            return True
        finally:
            gc.collect()  # its session and thread pool end before the next product
        one_row, disturbed_row = entry.name + WITH_ONE_ROW, ""
        try:
            weights, disturbed_row = self._weight_peak(entry)
            rate = replace(rate, weight_bytes_per_s=weights, weight_kernel=f"{entry.library} {entry.kernel}")
        except Exception as error:  # a library may raise any error
            self._leave_out(one_row, error)
        finally:
            gc.collect()
        self.made.rates.append(rate)
        return not any([self._note(entry.name, disturbed), self._note(one_row, disturbed_row)])

    def _note(self, name: str, disturbed: str) -> bool:
        """Record what disturbed `name`, unless it was undisturbed once; return whether it is disturbed."""
        if name in self.calm or not disturbed:
            self.calm.add(name)
            self.made.disturbed.pop(name, None)
            return False
        self.made.disturbed[name] = disturbed
        return True

    def _leave_out(self, name: str, error: Exception) -> None:
        if (reason := reason_of(name, error)) not in self.made.left_out:
            self.made.left_out.append(reason)

    def _rate(self, entry: Gemm) -> tuple[Rate, str]:
        watch = Watch()
        rates, runs = self._gemm_peak(entry, self.seconds * _GEMM_SHARE)
        side = max(rates, key=lambda key: rates[key])
        rate = Rate(
            dtype=entry.dtype,
            flop_per_s=rates[side],
            side=side,
            runs=runs,
            library=entry.library,
            kernel=entry.kernel,
            compute_dtype=entry.compute_dtype(self.features),
            weight_bits=WEIGHT_BITS[entry.dtype],
        )
        return rate, watch.disturbance()

    def _gemm_peak(self, entry: Gemm, seconds: float) -> tuple[dict[int, float], int]:
        """Return FLOP/s by size, and the number of runs."""
        rates: dict[int, float] = {}
        runs = 0
        for side in _SIDES:
            product = entry.prepare(side, side, self.threads)
            took_s, made = best_s(product, seconds / len(_SIDES), self.clock)
            rates[side] = 2.0 * side**3 / took_s
            runs += made
            if took_s * 8 * (MIN_RUNS + 1) > seconds:  # the next size takes eight times as long
                break
        return rates, runs

    def _weight_peak(self, entry: Gemm) -> tuple[float, str]:
        """Return the bytes/s of weights that the product of one row reads, and what disturbed it."""
        product = entry.prepare(1, _WEIGHT_SIDE, self.threads)
        with flushing(self.threads) as flush:
            watch = Watch()
            took_s, _ = best_s(product, self.seconds * _WEIGHT_SHARE, self.clock, flush)
        return _WEIGHT_SIDE**2 * WEIGHT_BITS[entry.dtype] / 8 / took_s, watch.disturbance()
