"""Offline: all queries exist at the start; a Session that serves many at once (replicas) gets them all."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from harness.measure.blocks import Block, time_in_turn
from harness.measure.clock import Clock
from harness.measure.scenarios.registry import WAKE_NS, Load, Speed, Workload, say_samples, scenario


@runtime_checkable
class Server(Protocol):
    """A Session that serves many requests at once, in any order.

    `lanes`: how many requests it serves at the same time.
    """

    lanes: int

    def serve(self, count: int, clock: Clock) -> Block:
        """Time a Block of `count` requests that all exist at the start."""
        ...


class OfflineWorkload(Workload):
    """All samples at once."""

    def speed(self) -> Speed:
        """Return "throughput"."""
        return "throughput"

    def conditions(self) -> str:
        """Describe what is measured."""
        return f"as many samples as possible, {say_samples(self.batch)} a call"


@scenario("offline", OfflineWorkload, summary="all requests exist at the start; speed is throughput")
class Offline(Load):
    """Speed is samples over the Block's wall time."""

    def run(self, count: int) -> Block:
        """Time `count` requests."""
        session, calls = self.seat.session, self.seat.calls
        if isinstance(session, Server):
            return session.serve(count, self.seat.clock)
        return time_in_turn(calls, count, self.seat.clock, self.take(count, len(calls)))

    @property
    def lanes(self) -> int:
        """Number of calls that run at the same time: the Session's, where it is a `Server`."""
        return self.seat.session.lanes if isinstance(self.seat.session, Server) else 1

    def wake(self) -> None:
        """Make untimed calls on all lanes at once."""
        session, now = self.seat.session, self.seat.clock.now_ns
        if not isinstance(session, Server):
            super().wake()
            return
        end_ns = now() + WAKE_NS
        session.serve(self.lanes, self.seat.clock)
        while now() < end_ns:
            session.serve(self.lanes, self.seat.clock)

    def seconds_per_sample(self, block: Block) -> float:
        """Return the Block's wall time over its samples."""
        return block.duration_ns / 1e9 / (block.calls * self.samples)
