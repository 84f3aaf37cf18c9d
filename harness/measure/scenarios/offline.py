"""Offline: all queries exist at the start; a Session that serves many at once (replicas) gets them all."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Protocol, runtime_checkable

from harness.measure.blocks import Block, Call, Wake, at_once, time_in_turn
from harness.measure.clock import Clock
from harness.measure.scenarios.registry import Load, Speed, Workload, say_samples, scenario


@runtime_checkable
class Server(Protocol):
    """A Session that serves many requests at once, in any order.

    `lanes`: how many requests it serves at the same time.
    """

    lanes: int

    def serve(self, count: int, clock: Clock, wake: Wake = at_once) -> Block:
        """Time a Block of `count` requests that all exist at the start; `wake` is called right before it."""
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

    def run(self, count: int, wake: Wake = at_once) -> Block:
        """Time `count` requests."""
        session, calls = self.seat.session, self.seat.calls
        if isinstance(session, Server):
            return session.serve(count, self.seat.clock, wake)
        return time_in_turn(calls, count, self.seat.clock, self.take(count, len(calls)), wake)

    @property
    def lanes(self) -> int:
        """Number of calls that run at the same time: the Session's, where it is a `Server`."""
        return self.seat.session.lanes if isinstance(self.seat.session, Server) else 1

    def untimed(self) -> Iterable[Call]:
        """Return calls that each keep all lanes busy at once."""
        session = self.seat.session
        if not isinstance(session, Server):
            return super().untimed()
        return repeat(lambda: session.serve(self.lanes, self.seat.clock))

    def seconds_per_sample(self, block: Block) -> float:
        """Return the Block's wall time over its samples."""
        return block.duration_ns / 1e9 / (block.calls * self.samples)
