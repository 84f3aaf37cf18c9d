"""Multi-stream as in MLPerf: a query holds several samples, and the next follows when all are done.

MLPerf uses 8 samples a query and the 99th percentile of the query's latency (MLPerf Inference Rules,
"Scenarios", since v2.0).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from harness.measure.blocks import Block, Call, Wake, at_once, grouped, time_in_turn
from harness.measure.scenarios.registry import Load, Seat, Workload, say_samples, scenario


class MultiStreamWorkload(Workload):
    """Queries of `samples_per_query` samples, which run in calls of `batch` samples."""

    samples_per_query: int = Field(default=8, ge=1, le=65_536, description="samples that arrive together")

    @model_validator(mode="after")
    def _whole_calls(self) -> MultiStreamWorkload:
        if self.samples_per_query % self.batch:
            raise ValueError(
                f"samples_per_query {self.samples_per_query} is no multiple of batch {self.batch}: "
                "a query is made of whole calls"
            )
        return self

    @property
    def calls_per_query(self) -> int:
        """Number of calls of one query."""
        return self.samples_per_query // self.batch

    def timed_call(self) -> str:
        """Describe one timed call."""
        return "time of one query"

    def conditions(self) -> str:
        """Describe what is measured."""
        return (
            f"{say_samples(self.samples_per_query)} a query, {self.batch:,} a call, one query after the other"
        )


@scenario(
    "multi-stream",
    MultiStreamWorkload,
    summary="several samples arrive together, the next when all are done; speed is a query's latency",
)
class MultiStream(Load):
    """One timed call is one query: all its calls together."""

    def __init__(self, workload: Any, seat: Seat) -> None:
        super().__init__(workload, seat)
        self._queries: list[Call] = grouped(seat.calls, workload.calls_per_query)

    @property
    def samples(self) -> int:
        """Samples of one query."""
        return int(self.workload.samples_per_query)

    def run(self, count: int, wake: Wake = at_once) -> Block:
        """Time `count` queries in turn."""
        start = self.take(count, len(self._queries))
        block = time_in_turn(self._queries, count, self.seat.clock, start, wake)
        size = self.workload.calls_per_query
        last = (block.last_index * size + size - 1) % len(self.seat.calls)
        return Block(block.calls_ns, block.duration_ns, block.last, last)
