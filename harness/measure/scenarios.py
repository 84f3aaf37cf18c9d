"""Scenarios: how requests arrive, and which figure of a Block stands for speed.

A scenario is one entry here: a function that times a Block, and what its speed is. A Session that answers
several batches at once (replicas) has a `serve` of its own, which `offline` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.measure.blocks import Block, Call, time_in_turn
from harness.measure.clock import Clock


@runtime_checkable
class Server(Protocol):
    """Something that takes many requests at once and answers them in any order."""

    def serve(self, count: int, clock: Clock) -> Block:
        """Answer `count` requests that are all there at the start."""
        ...


@dataclass(frozen=True)
class Scenario:
    """A registered scenario; `run(target, calls, count, clock)` times one Block of `count` calls."""

    name: str
    summary: str
    run: Callable[[Any, Sequence[Call], int, Clock], Block]


def _single_stream(_target: Any, calls: Sequence[Call], count: int, clock: Clock) -> Block:
    return time_in_turn(calls, count, clock)


def _offline(target: Any, calls: Sequence[Call], count: int, clock: Clock) -> Block:
    if isinstance(target, Server):
        return target.serve(count, clock)
    return time_in_turn(calls, count, clock)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("single-stream", "one request after the other; speed is a call's latency", _single_stream),
        Scenario("offline", "all requests are there at the start; speed is throughput", _offline),
    )
}
