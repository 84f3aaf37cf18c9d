"""The scenarios of MLCommons LoadGen: single-stream, multi-stream, offline and server."""

from __future__ import annotations

import numpy as np

from harness.measure import loadgen as mlperf
from harness.measure.blocks import Arrivals, Block
from harness.measure.open_loop import Seed
from harness.measure.scenarios.multi_stream import MultiStream, MultiStreamWorkload
from harness.measure.scenarios.offline import Offline, OfflineWorkload
from harness.measure.scenarios.registry import Workload, scenario
from harness.measure.scenarios.single_stream import SingleStream
from harness.measure.serving import ServerLoad, ServerWorkload


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


@scenario(
    "loadgen-offline",
    OfflineWorkload,
    summary="offline as MLCommons LoadGen asks and times it",
    imports=(mlperf.MODULE,),
    packages=(mlperf.PACKAGE,),
    extra=mlperf.EXTRA,
)
class LoadGenOffline(Offline):
    """A Sample is the time from one answer to the next; the Block lasts until LoadGen has the last."""

    def block(self) -> Block:
        """One LoadGen test: a single query that holds all samples."""
        trace = mlperf.ask("Offline", self.seat.calls, self.count, self.next_seed())
        done = np.sort(trace.done_ns)
        return Block(np.diff(done, prepend=0), int(done[-1]), trace.last, trace.last_index)


_NO_BOUND_S = 3600.0


@scenario(
    "loadgen-server",
    ServerWorkload,
    summary="server as MLCommons LoadGen asks and times it",
    imports=(mlperf.MODULE,),
    packages=(mlperf.PACKAGE,),
    extra=mlperf.EXTRA,
)
class LoadGenServer(ServerLoad):
    """A Sample is a query's latency by LoadGen, since it was scheduled."""

    def at_rate(self, rate_per_s: float, count: int, seed: Seed) -> Block:
        """One LoadGen test."""
        bound_ns = int((self.workload.latency_bound or _NO_BOUND_S) * 1e9)
        trace = mlperf.ask(
            "Server",
            self.seat.calls,
            count,
            seed,
            server_target_qps=rate_per_s,
            server_target_latency_ns=bound_ns,
            server_target_latency_percentile=self.workload.percentile,
        )
        arrivals = Arrivals(rate_per_s, trace.due_ns, trace.done_ns - trace.issued_ns)
        end = int((trace.due_ns + trace.done_ns).max())
        return Block(trace.done_ns, end, trace.last, trace.last_index, arrivals)
