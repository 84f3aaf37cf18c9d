"""Single stream: one query after the other, each sent when the previous call has returned."""

from __future__ import annotations

from harness.measure.blocks import Block, Wake, at_once, time_in_turn
from harness.measure.scenarios.registry import Load, Workload, scenario


@scenario("single-stream", Workload, summary="one request after the other; speed is a call's latency")
class SingleStream(Load):
    """One call after the other."""

    def run(self, count: int, wake: Wake = at_once) -> Block:
        """Time `count` calls in turn."""
        calls = self.seat.calls
        return time_in_turn(calls, count, self.seat.clock, self.take(count, len(calls)), wake)
