"""Open-loop queries: waits as in queueing theory, latency from the scheduled arrival, the knee found."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from clocks import FakeClock

from harness.errors import HarnessError
from harness.measure.blocks import MAX_CALLS, Block, set_aside_garbage
from harness.measure.clock import ClockError
from harness.measure.open_loop import (
    GAIN,
    RateSearch,
    over_bound,
    poisson_schedule,
    time_arrivals,
    unit_gaps,
)
from harness.measure.scenarios.registry import SCENARIOS, Load, Seat
from harness.stats.quantiles import min_calls
from harness.stats.queueing import highest_rate, waits

S = 0.001
"""Service time of the fake Session, seconds."""


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Each Block collects garbage first; as in a worker, what is alive is put aside."""
    set_aside_garbage()
    yield
    gc.unfreeze()


class FakeSession:
    """Each call takes `service_s`; the calls whose numbers are in `stalls` take that much more."""

    def __init__(self, service_s: float = S, stalls: dict[int, float] | None = None) -> None:
        self.clock = FakeClock()
        self.service_s, self.stalls = service_s, stalls or {}
        self.made = 0

    def call(self) -> tuple[int]:
        self.clock.advance(round((self.service_s + self.stalls.get(self.made, 0.0)) * 1e9))
        self.made += 1
        return (self.made,)


def load(session: FakeSession, seed: tuple[int, ...] = (0, 0), **options: Any) -> Load:
    entry = SCENARIOS.get("server")
    workload = entry.workload.model_validate({"scenario": "server", **options})
    return entry.load(workload, Seat(session, [session.call], session.clock, 0.1, 0.2, seed))


def block_at(
    rate: float, count: int, seed: tuple[int, ...] = (1,), session: FakeSession | None = None
) -> Block:
    session = session or FakeSession()
    return time_arrivals([session.call], poisson_schedule(rate, count, seed), rate, session.clock)


def knee(bound_s: float, q: float) -> float:
    """The rate at which the q-quantile of an M/D/1 queue's latency is at the bound, from many queries."""
    return highest_rate(np.full(300_000, S), unit_gaps(300_000, (99,)), bound_s, q)


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_that_of_an_md1_queue(utilization: float) -> None:
    block = block_at(utilization / S, 300_000)
    theory = S * utilization / (2 * (1 - utilization))  # Pollaczek-Khinchine, no variance of service
    assert float(block.calls_ns.mean()) / 1e9 - S == pytest.approx(theory, rel=0.05)
    assert block.arrivals is not None
    assert block.arrivals.utilization == pytest.approx(utilization, rel=0.01)
    assert (block.arrivals.service_ns == round(S * 1e9)).all()


def test_measured_latencies_are_those_of_lindleys_recursion() -> None:
    block = block_at(800.0, 5000)
    assert block.arrivals is not None
    gaps = np.diff(block.arrivals.due_ns, prepend=0).astype(float)
    expected = waits(gaps, np.full(5000, S * 1e9)) + S * 1e9
    np.testing.assert_allclose(block.calls_ns, expected, atol=1)


def test_a_stall_is_seen_by_all_queries_that_were_due_behind_it() -> None:
    """Coordinated omission: closed loop, a stall of 100 ms is one slow call; its clients saw a hundred."""
    stall = {500: 0.1}
    steady = FakeSession(stalls=stall)
    closed = SCENARIOS.get("single-stream")
    one = closed.load(
        closed.workload(scenario="single-stream"), Seat(steady, [steady.call], steady.clock, 0.1, 0.2)
    ).run(1000)
    assert int((one.calls_ns > 5 * S * 1e9).sum()) == 1
    block = block_at(500.0, 1000, session=FakeSession(stalls=stall))
    late = block.calls_ns > 5 * S * 1e9
    assert late.sum() > 50
    assert block.arrivals is not None
    assert int((block.arrivals.service_ns > 5 * S * 1e9).sum()) == 1
    unstalled = block_at(500.0, 1000)
    assert (unstalled.calls_ns > 5 * S * 1e9).sum() < 5
    assert unstalled.arrivals is not None
    np.testing.assert_array_equal(unstalled.arrivals.due_ns, block.arrivals.due_ns)


def test_the_schedule_is_set_before_and_follows_the_seed() -> None:
    one, two, other = (poisson_schedule(100.0, 2000, seed) for seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    np.testing.assert_allclose(poisson_schedule(200.0, 2000, (3, 1)), one / 2, atol=1)
    gaps = np.diff(one) / 1e9
    assert gaps.mean() == pytest.approx(0.01, rel=0.1)
    assert gaps.std() == pytest.approx(0.01, rel=0.1)
    assert (np.diff(one) >= 0).all()


def test_all_inputs_get_their_turn_and_the_last_is_told() -> None:
    session, evaluated = FakeSession(), []
    calls = [lambda i=i: (evaluated.append(i), session.call())[0] or i for i in range(3)]  # type: ignore[misc]
    entry = SCENARIOS.get("server")
    workload = entry.workload.model_validate({"scenario": "server", "qps": 100})
    one = entry.load(workload, Seat(session, calls, session.clock, 0.1, 0.01))
    one.warm()
    last = set()
    for _ in range(6):
        block = one.block()
        assert block.last_index == block.last == evaluated[-1]
        last.add(block.last_index)
    assert last == {0, 1, 2}


def test_the_schedule_is_laid_out_before_its_clock_starts() -> None:
    happened: list[str] = []

    class Due(np.ndarray):
        def tolist(self) -> list[int]:
            happened.append("laid out")
            return super().tolist()  # type: ignore[no-any-return]

    session = FakeSession()
    read = session.clock.now_ns
    session.clock.now_ns = lambda: (happened.append("clock"), read())[1]  # type: ignore[method-assign]
    due_ns = np.array([5, 10_000_000], np.int64).view(Due)
    block = time_arrivals([session.call], due_ns, 100.0, session.clock, wake=lambda: happened.append("wake"))
    assert happened[:3] == ["laid out", "wake", "clock"]
    assert happened.count("laid out") == 1
    np.testing.assert_array_equal(block.calls_ns, [S * 1e9] * 2)


def test_a_clock_that_goes_backwards_is_refused() -> None:
    clock = FakeClock()
    with pytest.raises(ClockError):
        time_arrivals([lambda: clock.advance(-5)], poisson_schedule(10.0, 3, (0,)), 10.0, clock)


@pytest.mark.parametrize(
    ("bound_s", "percentile"), [(3 * S, 0.99), (5 * S, 0.99), (10 * S, 0.99), (5 * S, 0.9)]
)
def test_the_search_finds_the_known_knee(bound_s: float, percentile: float) -> None:
    truth = knee(bound_s, percentile)
    found: list[float] = []
    for trial in range(3):
        one = load(FakeSession(), (0, trial), latency_bound=bound_s, percentile=percentile)
        warmth = one.warm()
        assert warmth.search["resolved"]
        first = 1 / one.seconds_per_sample(one.block())
        assert first == pytest.approx(truth, rel=0.06)
        found += [first, *(1 / one.seconds_per_sample(one.block()) for _ in range(29))]
    assert np.exp(np.mean(np.log(found))) == pytest.approx(truth, rel=0.03)


def test_over_all_blocks_the_share_over_the_bound_is_what_was_asked() -> None:
    one = load(FakeSession(), latency_bound=5 * S)
    one.warm()
    samples = np.concatenate([one.block().calls_ns for _ in range(100)])
    assert np.mean(samples > 5 * S * 1e9) == pytest.approx(0.01, abs=0.005)


def test_a_staircase_on_the_blocks_own_percentiles_would_find_too_much() -> None:
    """Why the search goes by the share over the bound: stated in measure/open_loop.py."""
    bound_s, rate, levels = 5 * S, knee(5 * S, 0.99), []
    for number in range(600):
        latency = waits(unit_gaps(662, (7, number)) / rate, np.full(662, S)) + S
        levels.append(rate)
        rate *= np.exp(GAIN if np.quantile(latency, 0.99) <= bound_s else -GAIN)
    assert np.exp(np.mean(np.log(levels[50:]))) > 1.03 * knee(bound_s, 0.99)


def test_a_queue_that_grows_without_end_fails_whatever_its_latencies() -> None:
    block = block_at(1200.0, 2000)
    assert block.calls_ns.max() < 1e9
    assert over_bound(block, 1.0) == 1.0
    search = RateSearch(1200.0, 1.0, 0.99)
    search.note(block)
    assert search.rate == pytest.approx(1200.0 * np.exp(-5 * GAIN))


def test_a_bound_that_never_binds_finds_what_the_session_can_serve() -> None:
    one = load(FakeSession(), latency_bound=1.0)
    one.warm()
    assert one.count == MAX_CALLS
    rates = [1 / one.seconds_per_sample(one.block()) for _ in range(8)]
    assert 0.93 / S < np.mean(rates) < 1.02 / S


def test_no_rate_holds_a_bound_below_the_service_time() -> None:
    with pytest.raises(HarnessError, match=r"no rate holds latency_bound 0\.5 ms: .* p99 is 1 ms"):
        load(FakeSession(), latency_bound=S / 2).warm()


def test_a_search_on_a_disturbed_machine_ends() -> None:
    """When stalls alone are over the bound no rate holds: the lowest is kept to, not a Block of hours."""
    session = FakeSession(stalls=dict.fromkeys(range(3000, 100000, 20), 0.1))
    one = load(session, latency_bound=5 * S)
    one.warm()
    for _ in range(4):
        block = one.block()
        assert block.arrivals is not None
        assert block.arrivals.asked_per_s > 0.04 / (S + 0.1 / 20)
        assert block.duration_ns < 662 * 30 * (S + 0.1 / 20) * 1e9


def test_a_block_is_long_enough_for_its_percentile() -> None:
    for q, bound_s in ((0.9, 3 * S), (0.99, 3 * S), (0.99, 60 * S)):
        one = load(FakeSession(), latency_bound=bound_s, percentile=q)
        one.warm()
        assert one.block().calls >= max(min_calls(q), min((bound_s / S) ** 2, MAX_CALLS) * 0.99)


def test_a_given_rate_is_kept_to_and_speed_is_latency() -> None:
    one = load(FakeSession(), qps=500.0, latency_bound="2ms")
    assert one.warm().search == {}
    block = one.block()
    statistics = one.statistics(block)
    assert statistics["rate_per_s"] == 500.0
    assert statistics["utilization"] == pytest.approx(0.5, rel=0.3)
    assert statistics["over_bound_share"] == np.mean(block.calls_ns > 2e6)
    assert one.seconds_per_sample(block) == np.median(block.calls_ns) / 1e9
    overloaded = load(FakeSession(), qps=2000.0)
    overloaded.warm()
    block = overloaded.block()
    assert overloaded.statistics(block)["utilization"] > 1
    assert overloaded.statistics(block)["over_bound_share"] is None


def test_a_seed_repeats_all_and_another_does_not() -> None:
    def rates(seed: tuple[int, int]) -> list[float]:
        one = load(FakeSession(), seed, latency_bound=4 * S)
        one.warm()
        return [1 / one.seconds_per_sample(one.block()) for _ in range(5)]

    assert rates((4, 0)) == rates((4, 0))
    assert rates((4, 0)) != rates((4, 1))


def test_a_search_that_is_cut_short_says_so() -> None:
    class Slower(FakeSession):
        """Service times that depend on how busy it is, so that the first prediction is wrong."""

        def call(self) -> tuple[int]:
            idle = self.made and self.clock.time_ns > self.ended
            self.clock.advance(round(0.5 * S * 1e9) if idle else 0)
            output = super().call()
            self.ended = self.clock.time_ns
            return output

    cut = load(Slower(), latency_bound=5 * S, search_time=1e-3).warm()
    assert cut.search["resolved"] is False
    assert len(cut.search["rates_per_s"]) == 2
    whole = load(Slower(), latency_bound=5 * S, search_time=100.0).warm()
    assert whole.search["resolved"] is True
    first, *_, last = whole.search["rates_per_s"]
    assert last < 0.95 * first


def test_the_manager_is_asked_for_patience_before_what_takes_long() -> None:
    asked: list[float] = []
    session = FakeSession()
    entry = SCENARIOS.get("server")
    workload = entry.workload.model_validate({"scenario": "server", "latency_bound": 4 * S})
    one = entry.load(workload, Seat(session, [session.call], session.clock, 0.1, 0.2, (0,), asked.append))
    one.warm()
    before = len(asked)
    block = one.block()
    assert len(asked) == before + 1
    assert asked[-1] == pytest.approx(block.duration_ns / 1e9, rel=0.2)
