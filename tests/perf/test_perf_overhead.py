"""What the harness adds to each timed call, beside pytest-benchmark and torch.utils.benchmark.

Goal: at most 0.25 µs a call on top of the same no-op untimed, clock reading included. It is seen and not
asserted, since a shared machine would fail it by chance. The harness's figure is for CALLS calls, each a
sample of its own; the two others time their calls in one go, so they show less than one such sample costs.
"""

from typing import Any

import pytest

from harness.measure.blocks import time_in_turn
from harness.measure.clock import PerfClock, cost_ns

CALLS = 10_000


def no_op() -> None:
    """Do nothing, as quickly as Python can."""


def note(benchmark: Any, seconds_a_call: float) -> None:
    """Show a figure beside the benchmark's own."""
    benchmark.extra_info["ns_a_call"] = round(seconds_a_call * 1e9, 1)


def note_median(benchmark: Any, calls: int = 1) -> None:
    """Show pytest-benchmark's median for one of `calls` calls; there is none where it does not time."""
    if benchmark.stats is not None:
        note(benchmark, benchmark.stats.stats.median / calls)


def test_harness_block(benchmark: Any) -> None:
    """One Block of CALLS calls, each a sample of its own."""
    clock = PerfClock()
    block = benchmark.pedantic(time_in_turn, ([no_op], CALLS, clock), rounds=20, warmup_rounds=2)
    assert block.calls == CALLS
    note(benchmark, block.duration_ns / CALLS / 1e9)
    benchmark.extra_info["reading_ns"] = cost_ns(clock)


def test_harness_single_sample_median(benchmark: Any) -> None:
    """The median sample of a no-op: what a reader sees as the least latency that can be told."""
    clock = PerfClock()
    block = benchmark.pedantic(time_in_turn, ([no_op], CALLS, clock), rounds=5, warmup_rounds=1)
    note(benchmark, float(sorted(block.calls_ns)[CALLS // 2]) / 1e9)


def test_bare_loop(benchmark: Any) -> None:
    """The same calls without any timing: what the others are to be compared with."""

    def loop() -> None:
        for call in [no_op] * CALLS:
            call()

    benchmark.pedantic(loop, rounds=20, warmup_rounds=2)
    note_median(benchmark, CALLS)


def test_pytest_benchmark(benchmark: Any) -> None:
    """pytest-benchmark's own time for the no-op, calibrated by itself."""
    benchmark(no_op)
    note_median(benchmark)


@pytest.mark.slow
def test_torch_benchmark_timer(benchmark: Any) -> None:
    """torch.utils.benchmark.Timer on the no-op: the mean of CALLS calls in one go."""
    timer = pytest.importorskip("torch.utils.benchmark").Timer("f()", globals={"f": no_op})
    measurement = benchmark.pedantic(timer.timeit, (CALLS,), rounds=5, warmup_rounds=1)
    note(benchmark, measurement.median)
