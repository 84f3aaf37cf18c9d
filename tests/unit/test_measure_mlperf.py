"""LoadGen's scenarios with the real library: its trace is what our Blocks hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.measure import loadgen as mlperf
from harness.measure.clock import PerfClock
from harness.measure.scenarios.registry import SCENARIOS, Load, Seat

pytest.importorskip(mlperf.MODULE, reason="mlcommons-loadgen is not installed (extra: loadgen)")

S = 0.0005
"""Least time of a call, seconds."""


def session(made: list[int], number: int) -> Callable[[], int]:
    def call() -> int:
        end = time.perf_counter() + S
        while time.perf_counter() < end:
            pass
        made.append(number)
        return number

    return call


def load(name: str, calls: list[Callable[[], Any]], seed: tuple[int, ...] = (0,), **options: Any) -> Load:
    entry = SCENARIOS.get(name)
    workload = entry.workload.model_validate({"scenario": name, **options})
    return entry.load(workload, Seat(None, calls, PerfClock(), 0.02, 0.02, seed))


def asked(name: str, count: int = 100, **options: Any) -> tuple[Load, Any, list[int]]:
    made: list[int] = []
    one = load(name, [session(made, i) for i in range(4)], **options)
    one.count = count
    block = one.block()
    woken = len(made) - count * (one.samples // one.workload.batch)
    assert woken >= 2
    return one, block, made[woken:]


@pytest.mark.parametrize("name", ["loadgen-single-stream", "loadgen-offline", "loadgen-multi-stream"])
def test_as_many_queries_as_asked_each_with_its_time(name: str) -> None:
    one, block, made = asked(name)
    per_query = one.samples
    assert block.calls == 100
    assert len(made) == 100 * per_query
    assert (block.calls_ns >= S * 1e9 * per_query * 0.999).all()
    assert block.duration_ns >= block.calls_ns.sum()
    assert (block.last, block.last_index) == (made[-1], made[-1])
    assert set(made) == {0, 1, 2, 3}
    assert one.seconds_per_sample(block) >= S * 0.999


def test_calls_are_made_in_the_thread_that_warmed_up_and_wakes() -> None:
    seen: list[int] = []
    one = load("loadgen-single-stream", [lambda: seen.append(threading.get_ident())])
    one.count = 5
    one.block()
    assert set(seen) == {threading.get_ident()}
    assert len(seen) > 5


def test_what_fails_while_waking_comes_out() -> None:
    one = load("loadgen-server", [lambda: 1 / 0], qps=100.0)
    one.count = 3
    with pytest.raises(ZeroDivisionError):
        one.block()


def test_server_counts_from_the_schedule_and_not_from_the_call() -> None:
    made: list[int] = []
    one: Any = load("loadgen-server", [session(made, i) for i in range(4)], qps=1e4)
    block = one.at_rate(1e4, 300, (5,))  # five times what it can serve
    waits = block.calls_ns - block.arrivals.service_ns
    assert waits[-1] > 100 * S * 1e9
    assert block.arrivals.utilization > 1
    assert (np.diff(block.arrivals.due_ns) >= 0).all()
    assert block.arrivals.drawn_per_s == pytest.approx(1e4, rel=0.25)
    again = one.at_rate(1e4, 300, (5,))
    np.testing.assert_allclose(again.arrivals.due_ns, block.arrivals.due_ns, atol=1000)
    other = one.at_rate(1e4, 300, (6,))
    assert (np.abs(other.arrivals.due_ns - block.arrivals.due_ns) > 1000).any()


def test_server_searches_as_ours_does() -> None:
    percentile = (
        0.5713  # of no number of queries is just that share over the bound, which would keep the rate
    )
    made: list[int] = []
    options = {"latency_bound": 0.01, "percentile": percentile, "search_time": 0.5}
    one: Any = load("loadgen-server", [session(made, 0)], **options)
    warmth = one.warm()
    assert warmth.search["rates_per_s"]
    rate = one.rate
    block = one.block()
    assert block.arrivals.asked_per_s == rate
    assert one.statistics(block)["rate_per_s"] == rate
    assert one.rate != rate


def test_what_a_call_raises_comes_out_and_the_next_test_works() -> None:
    def broken() -> None:
        raise HarnessError("no output")

    one = load("loadgen-multi-stream", [broken])
    one.count = 10
    with pytest.raises(HarnessError, match="no output"):
        one.block()
    assert asked("loadgen-single-stream", 3)[1].calls == 3
