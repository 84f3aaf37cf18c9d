"""LoadGen's multi-stream."""

from __future__ import annotations

from harness.measure import mlperf
from harness.measure.blocks import Block
from harness.measure.scenarios.multi_stream import MultiStream, MultiStreamWorkload
from harness.measure.scenarios.registry import scenario


@scenario(
    "loadgen-multi-stream",
    MultiStreamWorkload,
    summary="multi-stream as MLCommons LoadGen asks and times it",
    imports=(mlperf.MODULE,),
    packages=(mlperf.PACKAGE,),
    extra=mlperf.EXTRA,
)
class LoadGenMultiStream(MultiStream):
    """A Sample is a query's latency by LoadGen: until the last of its samples is answered."""

    def block(self) -> Block:
        """One LoadGen test."""
        size = self.workload.calls_per_query
        trace = mlperf.ask("MultiStream", self.seat.calls, self.count, self.next_seed(), size)
        latency = trace.done_ns.reshape(self.count, size).max(axis=1)
        return Block(latency, trace.span_ns, trace.last, trace.last_index)
