"""Server: queries arrive at random, whether or not the previous call has returned (Poisson, open loop).

The rate is given, or the highest one that holds a bound of latency is searched for.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.errors import HarnessError
from harness.measure.blocks import MAX_CALLS, Block, Wake, at_once, time_in_turn
from harness.measure.open_loop import RateSearch, Seed, poisson_schedule, time_arrivals, unit_gaps
from harness.measure.scenarios.registry import Load, Seat, Speed, Workload, say_samples, scenario
from harness.measure.warmup import WarmUp
from harness.stats.quantiles import min_calls, percentile
from harness.stats.queueing import IDLE, highest_rate
from harness.units import Seconds, Share, say_seconds

PREDICTED_FROM = 20_000
"""Number of simulated queries, with measured service times, from which a rate is predicted."""
AGREED = 0.03
"""Two predictions agree when they differ by no more than this share."""
_PROBES, _BLOCKS, _SERVICE, _GAPS = range(4)
"""Streams of random numbers: all arms of a Trial see the same queries, Block by Block."""
ALONE = 3
"""The Cell fails after this number of Blocks that are over the bound even without a queue."""
EMPTY_QUEUE = 10
"""Minimum length of a Block at a given rate, in units of the queue's memory: (1 - utilization)^-2 calls."""


class ServerWorkload(Workload):
    """Queries that arrive at random, at `qps` or at the highest rate that holds `latency_bound`."""

    qps: Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)] | None = Field(
        default=None,
        description="queries a second; without it the highest rate that holds latency_bound is found",
    )
    latency_bound: Annotated[Seconds, Field(gt=0)] | None = Field(
        default=None, description="limit of the percentile of latency, for example 10ms"
    )
    percentile: Share = Field(default=0.99, ge=0.5, le=0.999, description="of latency, held to latency_bound")
    search_time: Seconds = Field(
        default=10.0,
        gt=0,
        description="maximum duration of the search before a Trial's first Block",
    )

    @model_validator(mode="after")
    def _something_to_hold(self) -> ServerWorkload:
        if self.qps is None and self.latency_bound is None:
            raise ValueError(
                "needs qps, or latency_bound to find the highest qps that holds it; found neither"
            )
        return self

    def speed(self) -> Speed:
        """Return "rate" where the rate is searched for, "latency" where it is given."""
        return "rate" if self.qps is None else "latency"

    def timed_call(self) -> str:
        """Describe one timed call."""
        return "latency of one query since it was due"

    def conditions(self) -> str:
        """Describe what is measured."""
        which = f"p{100 * self.percentile:g}"
        bound = f"{1e3 * self.latency_bound:g} ms" if self.latency_bound else ""
        query = f"queries of {say_samples(self.batch)} arrive at random"
        if self.qps is not None:
            return f"{query}, {self.qps:g} a second" + (
                f"; {which} is to stay within {bound}" if bound else ""
            )
        return f"{query}, as many a second as keep {which} within {bound}"

    def search_s(self) -> float:
        """Return the limit of the search, in seconds: at least one Block is made."""
        return max(self.search_time, self.block_s(0.0)) if self.qps is None else 0.0

    def block_s(self, asked_s: float) -> float:
        """Return the least seconds of a Block that has the queries it needs (`ServerLoad._queries`).

        While the rate is searched, these are n = max(min_calls, (bound / s)²) for a service time s, at most
        1 / s a second: n × s seconds, which is at least √min_calls × bound whatever s is. (A Block can be
        shorter if MAX_CALLS cuts n, which for p99 needs s below bound / 777.)
        """
        if self.qps is not None:
            return max(asked_s, EMPTY_QUEUE / self.qps)
        return max(asked_s, math.sqrt(min_calls(self.percentile)) * (self.latency_bound or 0.0))

    def warning(self, asked_s: float, timed_s: float) -> str:
        """Name the queries that the percentile takes, where they take long or do not arrive in time."""
        needed = f"p{100 * self.percentile:g} takes {min_calls(self.percentile):,} queries"
        block_s = self.block_s(asked_s)
        if self.qps is None and block_s > asked_s:
            unless = f"unless a call takes under {1e3 * block_s / MAX_CALLS:.2g} ms"
            return f"{needed}, so a Block takes {say_seconds(block_s)} or longer {unless}"
        if self.qps is not None and self.qps * timed_s < min_calls(self.percentile):
            return f"{needed}, and {self.qps:g} a second for {say_seconds(timed_s)} are too few to show it"
        return ""

    def follows_calls(self) -> bool:
        """Return False: with calls 2 % longer, queues are 2 to 9 % longer and rates lower by as much."""
        return False


class ServerLoad(Load):
    """Blocks of queries at a rate. Subclasses define how one Block is timed (`at_rate`)."""

    workload: ServerWorkload

    def __init__(self, workload: Any, seat: Seat) -> None:
        super().__init__(workload, seat)
        self.search: RateSearch | None = None
        self.service_s = 0.0
        self._calls, self._seconds = 0, 0.0
        self._found: dict[str, Any] = {}

    @abstractmethod
    def at_rate(self, rate_per_s: float, count: int, seed: Seed, wake: Wake = at_once) -> Block:
        """Time `count` queries that arrive at `rate_per_s`; the Block has its `arrivals`."""

    def run(self, count: int, wake: Wake = at_once) -> Block:
        """Time `count` calls in a closed loop, for warm-up."""
        calls = self.seat.calls
        return time_in_turn(calls, count, self.seat.clock, self.take(count, len(calls)), wake)

    @property
    def rate(self) -> float:
        """Queries a second of the next Block."""
        return self.search.rate if self.search else float(self.workload.qps or 0.0)

    def warm(self) -> WarmUp:
        """Warm up in a closed loop, then find the rate where none is given."""
        warm_up = super().warm()
        self.service_s = warm_up.call_s
        if self.workload.qps is None:
            rate = self._find_rate(self._alone())
            lowest = IDLE / self.service_s
            self.search = RateSearch(rate, self._bound_s, self.workload.percentile, lowest)
            calls, seconds = self._calls + warm_up.calls, self._seconds + warm_up.seconds
            warm_up = replace(warm_up, calls=calls, seconds=seconds, search=self._found)
        self.count = self._queries()
        return warm_up

    def block(self) -> Block:
        """Time one Block at the present rate; a search then changes the rate of the next one."""
        rate, self.count = self.rate, self._queries()
        self.seat.patience(self.count / rate)
        block = self.at_rate(rate, self.count, (*self.next_seed(), _BLOCKS), self.wake)
        if self.search:
            self.search.note(block)
        return block

    def seconds_per_sample(self, block: Block) -> float:
        """Return 1 / (samples × rate asked for) where the rate is searched for, else the median's."""
        if self.search and block.arrivals:
            return 1.0 / (block.arrivals.asked_per_s * self.samples)
        return super().seconds_per_sample(block)

    def statistics(self, block: Block) -> dict[str, Any]:
        """Return rates, utilization and the share over the bound."""
        assert block.arrivals is not None  # noqa: S101
        bound = self.workload.latency_bound
        over = float(np.mean(block.calls_ns > bound * 1e9)) if bound else None
        return {
            "rate_per_s": block.arrivals.asked_per_s,
            "drawn_per_s": block.arrivals.drawn_per_s,
            "utilization": block.arrivals.utilization,
            "over_bound_share": over,
            "allowed_share": 1 - self.workload.percentile if bound else None,
        }

    @property
    def _bound_s(self) -> float:
        assert self.workload.latency_bound is not None  # noqa: S101
        return self.workload.latency_bound

    def _alone(self) -> NDArray[np.int64]:
        """Return service times without a queue.

        Raises HarnessError where they are over the bound ALONE times in a row; one noisy Block must not end
        the Cell.
        """
        need, seen = min_calls(self.workload.percentile), 0.0
        for _ in range(ALONE):
            self.seat.patience(need * self.service_s)
            alone = self._took(self.run(need, self.wake)).calls_ns
            seen = percentile(alone / 1e9, self.workload.percentile).value
            if seen <= self._bound_s:
                return alone
        raise HarnessError(
            f"no rate holds latency_bound {self._bound_s * 1e3:g} ms: even without a queue, "
            f"p{100 * self.workload.percentile:g} is {seen * 1e3:.3g} ms"
        )

    def _find_rate(self, alone: NDArray[np.int64]) -> float:
        """Predict the rate from service times, measure at that rate, and predict again from the result.

        Ends when two predictions agree, or when `search_time` is spent.
        """
        rates, seen = [self._predict(alone)], [alone]
        before_s, agreed = self._seconds, False
        while not agreed and self._seconds - before_s < self.workload.search_time:
            count = self._queries(rates[-1])
            self.seat.patience(count / rates[-1])
            seed = (*self.seat.seed, len(rates), _PROBES)
            block = self._took(self.at_rate(rates[-1], count, seed, self.wake))
            assert block.arrivals is not None  # noqa: S101
            seen = [*seen, block.arrivals.service_ns] if len(rates) > 1 else [block.arrivals.service_ns]
            rates.append(self._predict(np.concatenate(seen)))
            agreed = abs(math.log(rates[-1] / rates[-2])) <= AGREED
        self._found = {"rates_per_s": rates, "service_s": self.service_s, "resolved": agreed}
        return rates[-1]

    def _predict(self, service_ns: NDArray[np.int64]) -> float:
        """Return the rate that holds the bound in a simulated queue (Lindley) with measured service times."""
        self.service_s = float(np.mean(service_ns)) / 1e9
        rng = np.random.default_rng((*self.seat.seed, 0, _SERVICE))
        service_s = rng.choice(service_ns, PREDICTED_FROM) / 1e9
        gaps = unit_gaps(PREDICTED_FROM, (*self.seat.seed, 0, _GAPS))
        return highest_rate(service_s, gaps, self._bound_s, self.workload.percentile)

    def _took(self, block: Block) -> Block:
        """Count a Block as part of warm-up."""
        self._calls += block.calls
        self._seconds += block.duration_ns / 1e9
        return block

    def _queries(self, rate: float | None = None) -> int:
        """Return how many queries a Block at `rate` (default: the present one) has.

        Enough for the percentile, and for the queue to forget that it began empty. The queue's memory is
        about (1 - utilization)^-2 service times; at the bound that is the square of the bound in service
        times (heavy traffic; a rule of thumb).
        """
        rate = self.rate if rate is None else rate
        count = rate * self.seat.block_s
        if self.workload.qps is None:
            count = max(count, (self._bound_s / self.service_s) ** 2)
            least = min_calls(self.workload.percentile)
        else:
            spare = 1 - rate * self.service_s
            count = max(count, EMPTY_QUEUE / spare**2 if spare > 0 else min_calls(self.workload.percentile))
            least = 2
        return max(least, min(math.ceil(count), MAX_CALLS))


@scenario(
    "server",
    ServerWorkload,
    summary="queries arrive at random; speed is the highest rate whose latency percentile holds a bound",
)
class Server(ServerLoad):
    """A call's duration is a query's latency since it was due."""

    def at_rate(self, rate_per_s: float, count: int, seed: Seed, wake: Wake = at_once) -> Block:
        """Draw the schedule and run it."""
        due_ns = poisson_schedule(rate_per_s, count, seed)
        calls = self.seat.calls
        first = self.take(count, len(calls))
        return time_arrivals(calls, due_ns, rate_per_s, self.seat.clock, first, wake)
