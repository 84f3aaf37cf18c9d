"""Server: queries arrive at random, whether the last one is answered or not (Poisson, open loop)."""

from __future__ import annotations

from harness.measure.blocks import Block
from harness.measure.open_loop import Seed, poisson_schedule, time_arrivals
from harness.measure.scenarios.registry import scenario
from harness.measure.serving import ServerLoad, ServerWorkload


@scenario(
    "server",
    ServerWorkload,
    summary="queries arrive at random; speed is the highest rate whose latency percentile holds a bound",
)
class Server(ServerLoad):
    """A Sample is a query's latency since it was due."""

    def at_rate(self, rate_per_s: float, count: int, seed: Seed) -> Block:
        """Draw the schedule, then keep to it."""
        due_ns = poisson_schedule(rate_per_s, count, seed)
        calls = self.seat.calls
        first = self.take(count, len(calls))
        return time_arrivals(calls, due_ns, rate_per_s, self.seat.clock, first)
