"""Offline: all queries are there at the start; a Session that takes many at once (replicas) gets them all."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from harness.measure.blocks import Block, time_in_turn
from harness.measure.clock import Clock
from harness.measure.scenarios.registry import WAKE_NS, Load, Speed, Workload, say_samples, scenario


@runtime_checkable
class Server(Protocol):
    """Something that takes many requests at once and answers them in any order.

    `lanes`: how many it answers side by side.
    """

    lanes: int

    def serve(self, count: int, clock: Clock) -> Block:
        """Answer `count` requests that are all there at the start."""
        ...


class OfflineWorkload(Workload):
    """All at once."""

    def speed(self) -> Speed:
        """Items a second."""
        return "throughput"

    def conditions(self) -> str:
        """In words."""
        return f"as many items as possible, {say_samples(self.batch)} a call"


@scenario("offline", OfflineWorkload, summary="all requests are there at the start; speed is throughput")
class Offline(Load):
    """A Sample is one call; speed is the Block's wall time by item."""

    def run(self, count: int) -> Block:
        """Answer `count` requests."""
        session, calls = self.seat.session, self.seat.calls
        if isinstance(session, Server):
            return session.serve(count, self.seat.clock)
        return time_in_turn(calls, count, self.seat.clock, self.take(count, len(calls)))

    @property
    def lanes(self) -> int:
        """The session's, where it takes many at once."""
        return self.seat.session.lanes if isinstance(self.seat.session, Server) else 1

    def wake(self) -> None:
        """All lanes at once, as long as others wake."""
        session, now = self.seat.session, self.seat.clock.now_ns
        if not isinstance(session, Server):
            super().wake()
            return
        end_ns = now() + WAKE_NS
        session.serve(self.lanes, self.seat.clock)
        while now() < end_ns:
            session.serve(self.lanes, self.seat.clock)

    def seconds_per_sample(self, block: Block) -> float:
        """Wall time over the items answered."""
        return block.duration_ns / 1e9 / (block.calls * self.samples)
