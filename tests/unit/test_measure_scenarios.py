"""Scenarios: what a Sample is in each, what stands for speed, and that one is a single file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from clocks import FakeClock
from pydantic import ValidationError

from harness.measure.blocks import Block, Wake, at_once, grouped
from harness.measure.clock import Clock
from harness.measure.scenarios.registry import (
    CALLS_A_LANE,
    LAST_NS,
    SCENARIOS,
    WAKE_NS,
    Load,
    Scenario,
    Seat,
    Workload,
)

Calls = list[Callable[[], Any]]


class Many:
    """Answers many requests at once."""

    def __init__(self, lanes: int = 2) -> None:
        self.lanes = lanes
        self.served: list[int] = []

    def serve(self, count: int, clock: Clock, wake: Wake = at_once) -> Block:
        wake()
        self.served.append(count)
        return Block(np.full(count, 5), count * 2, "output", 0)


def load(
    name: str, calls: Calls, clock: Clock, session: object = None, look: Wake = at_once, **options: Any
) -> Load:
    entry = SCENARIOS.get(name)
    workload = entry.workload.model_validate({"scenario": name, **options})
    return entry.load(workload, Seat(session, calls, clock, block_s=1e-6, cap_s=1e-6, look=look))


def test_offline_uses_a_servers_own_way() -> None:
    target, made = Many(), []
    one = load("offline", [lambda: made.append(1)], FakeClock(tick_ns=1), target, batch=4)
    block = one.run(7)
    assert target.served == [7]
    assert block.last == "output"
    assert made == []
    assert one.seconds_per_sample(block) == pytest.approx(2e-9 / 4)


def test_every_lane_of_a_server_gets_several_calls_a_block() -> None:
    target = Many(lanes=3)
    one = load("offline", [lambda: None], FakeClock(tick_ns=1), target)
    one.warm()
    assert one.count % 3 == 0
    assert one.count >= 3 * CALLS_A_LANE


def test_a_server_is_woken_as_long_as_others_are() -> None:
    clock = FakeClock()

    class Slow(Many):
        def serve(self, count: int, clock: Clock, wake: Wake = at_once) -> Block:
            clock.wait_until(clock.now_ns() + WAKE_NS // 5)
            return super().serve(count, clock, wake)

    target = Slow(lanes=3)
    one = load("offline", [lambda: None], clock, target, look=lambda: target.served.append(0))
    one.count = 12
    one.block()
    assert target.served == [3, 3, 3, 3, 0, 3, 12]  # 4 ms, the counters, 1 ms, the Block


@pytest.mark.parametrize("name", ["single-stream", "offline", "multi-stream"])
@pytest.mark.parametrize("count", [3, 5, 8])
def test_all_inputs_get_their_turn_and_blocks_end_with_different_ones(name: str, count: int) -> None:
    made: list[int] = []
    calls: Calls = [lambda i=i: made.append(i) for i in range(5)]  # type: ignore[misc]
    options = {"samples_per_query": 1} if name == "multi-stream" else {}
    one = load(name, calls, FakeClock(tick_ns=3_000), **options)
    last = {one.run(count).last_index for _ in range(6)}
    assert set(made) == {0, 1, 2, 3, 4}
    assert len(last) > 1
    assert max(made.count(i) for i in range(5)) - min(made.count(i) for i in range(5)) <= 6


def test_a_block_is_preceded_by_untimed_calls() -> None:
    clock, made = FakeClock(), []

    def call() -> None:
        made.append(1)
        clock.advance(WAKE_NS // 3)

    one = load("single-stream", [call], clock)
    one.wake()
    assert len(made) == 4  # 3 in the first 4 ms, and one after the counters were read
    assert one.awake_ns == clock.time_ns


@pytest.mark.parametrize(("call_s", "after"), [(0.03, ["call"]), (0.05, [])])
def test_cores_are_awake_when_the_counters_are_read_and_a_long_call_wakes_alone(
    call_s: float, after: list[str]
) -> None:
    clock, happened = FakeClock(), []
    calls: Calls = [lambda: (happened.append("call"), clock.advance(round(call_s * 1e9)))]
    one = load("single-stream", calls, clock, look=lambda: happened.append("look"))
    one.warm()
    happened.clear()
    one.block()
    assert happened == ["call", "look", *after, "call"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("single-stream", {}),
        ("offline", {}),
        ("multi-stream", {"samples_per_query": 1}),
        ("server", {"qps": 10.0}),
    ],
)
def test_only_untimed_calls_stand_between_the_counters_and_the_first_timed_call(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else comes before waking: the calls' order, the arrivals, and what the manager is told."""
    clock, happened = FakeClock(), []
    step_ns = LAST_NS // 2

    def call() -> None:
        happened.append("call")
        clock.advance(step_ns)

    def draw(rate: float, count: int, _seed: object) -> Any:
        happened.append("arrivals")
        return np.full(count, 1, np.int64)

    monkeypatch.setattr("harness.measure.scenarios.server.poisson_schedule", draw)
    read = clock.now_ns
    clock.now_ns = lambda: (happened.append("clock"), read())[1]  # type: ignore[method-assign]
    one = load(name, [call], clock, look=lambda: happened.append("look"), **options)
    one.count = 2
    one.block()
    at = happened.index("look")
    assert happened[:at].count("call") == (WAKE_NS - LAST_NS) // step_ns
    assert happened[at + 1 :][:7] == [
        "clock",
        "call",
        "clock",
        "call",
        "clock",
        "clock",
        "clock" if name == "server" else "call",
    ]
    assert ("arrivals" in happened[: happened.index("call")]) == (name == "server")
    assert one.awake_ns == WAKE_NS


def test_offline_takes_turns_where_there_is_no_server() -> None:
    made: list[int] = []
    block = load("offline", [lambda: made.append(1)], FakeClock(tick_ns=3)).run(7)
    assert len(made) == 7
    np.testing.assert_array_equal(block.calls_ns, [3] * 7)


def test_single_stream_never_uses_a_server() -> None:
    target, made = Many(), []
    one = load("single-stream", [lambda: made.append(1)], FakeClock(tick_ns=6), target, batch=2)
    block = one.run(4)
    assert target.served == []
    assert len(made) == 4
    assert one.seconds_per_sample(block) == pytest.approx(3e-9)


def test_a_multi_stream_sample_is_a_query_of_several_calls() -> None:
    clock, made = FakeClock(), []

    def call(number: int) -> Callable[[], int]:
        def output() -> int:
            made.append(number)
            clock.advance(10 * (number + 1))
            return number

        return output

    one = load("multi-stream", [call(i) for i in range(5)], clock, samples_per_query=6, batch=2)
    assert one.samples == 6
    block = one.run(4)
    assert made == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    np.testing.assert_array_equal(block.calls_ns, [60, 100, 90, 80])
    assert (block.last, block.last_index) == (1, 1)
    assert one.seconds_per_sample(block) == pytest.approx(85e-9 / 6)


@pytest.mark.parametrize(("calls", "size"), [(1, 1), (3, 2), (4, 2), (2, 5), (16, 8)])
def test_grouped_calls_make_each_call_equally_often(calls: int, size: int) -> None:
    made: list[int] = []
    queries = grouped([lambda i=i: made.append(i) for i in range(calls)], size)  # type: ignore[misc]
    for query in queries:
        query()
    assert len(made) == len(queries) * size
    assert len(set(np.bincount(made, minlength=calls))) == 1
    assert made == [i % calls for i in range(len(made))]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("single-stream", {"qps": 5}, "Extra inputs"),
        ("offline", {"latency_bound": 1}, "Extra inputs"),
        ("multi-stream", {"samples_per_query": 0}, "greater than or equal to 1"),
        ("multi-stream", {"samples_per_query": 6, "batch": 4}, "6 is no multiple of batch 4"),
        ("server", {}, "found neither"),
        ("server", {"qps": 0}, "greater than 0"),
        ("server", {"qps": float("inf")}, "less than or equal|finite"),
        ("server", {"qps": 10, "percentile": 1.0}, "less than or equal to 0.999"),
        ("server", {"qps": 10, "percentile": "40%"}, "greater than or equal to 0.5"),
        ("server", {"latency_bound": 0}, "greater than 0"),
        ("server", {"latency_bound": "10 sec"}, "is not a duration"),
        ("server", {"latency_bound": 1, "search_time": 0}, "greater than 0"),
        ("loadgen-server", {}, "found neither"),
        ("loadgen-multi-stream", {"samples_per_query": 6, "batch": 4}, "6 is no multiple of batch 4"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SCENARIOS.get(name).workload.model_validate({"scenario": name, **options})


@pytest.mark.parametrize(
    ("name", "options", "speed", "words"),
    [
        ("single-stream", {}, "latency", "one sample a call, one call after the other"),
        ("offline", {"batch": 32}, "throughput", "as many samples as possible, 32 samples a call"),
        ("multi-stream", {}, "latency", "8 samples a query, 1 a call, one query after the other"),
        (
            "server",
            {"latency_bound": "10ms"},
            "rate",
            "queries of one sample arrive at random, as many a second as keep p99 within 10 ms",
        ),
        (
            "server",
            {"qps": 100, "latency_bound": "10ms", "percentile": 0.9},
            "latency",
            "queries of one sample arrive at random, 100 a second; p90 is to stay within 10 ms",
        ),
    ],
)
def test_what_stands_for_speed_and_is_said(
    name: str, options: dict[str, Any], speed: str, words: str
) -> None:
    workload = SCENARIOS.get(name).workload.model_validate({"scenario": name, **options})
    assert workload.speed() == speed
    assert workload.conditions() == words


def test_only_a_search_takes_time_before_the_first_block() -> None:
    server = SCENARIOS.get("server").workload
    assert server.model_validate({"scenario": "server", "qps": 1}).search_s() == 0
    searched = {"scenario": "server", "latency_bound": "10ms", "search_time": "3s"}
    assert server.model_validate(searched).search_s() == 3
    slow = server.model_validate({**searched, "latency_bound": 1})
    assert slow.search_s() == pytest.approx(25.73, abs=0.01)  # one Block: √662 × 1 s
    assert Workload(scenario="single-stream").search_s() == 0


def test_a_block_of_server_lasts_as_long_as_its_queries_take() -> None:
    server = SCENARIOS.get("server").workload
    searched = server.model_validate({"scenario": "server", "latency_bound": "100ms"})
    assert searched.block_s(0.2) == pytest.approx(2.573, abs=0.001)  # √662 × 100 ms
    assert searched.block_s(5.0) == 5.0
    assert searched.warning(0.2, 30.0) == (
        "p99 takes 662 queries, so a Block takes 2.6 s or longer unless a call takes under 0.13 ms"
    )
    assert searched.warning(5.0, 30.0) == ""
    half = server.model_validate({"scenario": "server", "latency_bound": 1, "percentile": 0.9})
    assert half.block_s(0.2) == 8.0  # √64 × 1 s
    given = server.model_validate({"scenario": "server", "qps": 20})
    assert given.block_s(0.2) == 0.5  # 10 queries, so that the queue can forget that it began empty
    assert (
        given.warning(0.2, 30.0) == "p99 takes 662 queries, and 20 a second for 30 s are too few to show it"
    )
    assert given.warning(0.2, 33.1) == ""
    assert Workload(scenario="single-stream").block_s(0.2) == 0.2


@pytest.mark.parametrize("share_of_bound", [0.01, 0.0389, 0.2, 0.9])
def test_no_service_time_makes_a_searched_block_shorter_than_the_dry_run_says(share_of_bound: float) -> None:
    clock = FakeClock()
    one: Any = load("server", [lambda: None], clock, latency_bound=1.0)
    one.service_s = share_of_bound
    highest = 1 / one.service_s
    assert one._queries(highest) / highest >= one.workload.block_s(0.0) * 0.999


def test_one_that_needs_a_package_which_is_not_there_names_the_extra() -> None:
    single = SCENARIOS.get("single-stream")
    entry = Scenario("x", Workload, single.load, "", imports=("no_such_module",), extra="loadgen")
    assert entry.missing() == "no_such_module is not installed: pip install 'accel-harness[loadgen]'"
    assert single.missing() is None


def test_every_scenario_is_registered_under_its_own_name_and_explained() -> None:
    names = set(SCENARIOS.names())
    ours = {"single-stream", "offline", "multi-stream", "server"}
    assert ours | {f"loadgen-{name}" for name in ours} <= names
    assert all(name == entry.name and entry.summary for name, entry in SCENARIOS.items())
