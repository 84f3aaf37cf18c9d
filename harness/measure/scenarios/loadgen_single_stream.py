"""LoadGen's single stream."""

from __future__ import annotations

from harness.measure import mlperf
from harness.measure.blocks import Block
from harness.measure.scenarios.registry import Workload, scenario
from harness.measure.scenarios.single_stream import SingleStream


@scenario(
    "loadgen-single-stream",
    Workload,
    summary="single-stream as MLCommons LoadGen asks and times it",
    imports=(mlperf.MODULE,),
    packages=(mlperf.PACKAGE,),
    extra=mlperf.EXTRA,
)
class LoadGenSingleStream(SingleStream):
    """A Sample is a query's latency by LoadGen; warm-up is ours."""

    def block(self) -> Block:
        """One LoadGen test."""
        trace = mlperf.ask("SingleStream", self.seat.calls, self.count, self.next_seed())
        return Block(trace.done_ns, trace.span_ns, trace.last, trace.last_index)
