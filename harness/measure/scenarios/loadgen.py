"""The scenarios of MLCommons LoadGen: single-stream, multi-stream, offline and server."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.measure import loadgen as mlperf
from harness.measure.blocks import Arrivals, Block, Wake, at_once
from harness.measure.open_loop import Seed
from harness.measure.scenarios.multi_stream import MultiStream, MultiStreamWorkload
from harness.measure.scenarios.offline import Offline, OfflineWorkload
from harness.measure.scenarios.registry import L, Workload, scenario
from harness.measure.scenarios.server import ServerLoad, ServerWorkload
from harness.measure.scenarios.single_stream import SingleStream


def _as_loadgen(name: str, workload: type[Workload]) -> Callable[[type[L]], type[L]]:
    """Register the decorated Load as LoadGen's version of the scenario `name`."""
    return scenario(
        f"loadgen-{name}",
        workload,
        summary=f"{name} as MLCommons LoadGen issues and times it",
        imports=(mlperf.MODULE,),
        packages=(mlperf.PACKAGE,),
        extra=mlperf.EXTRA,
    )


@_as_loadgen("single-stream", Workload)
class LoadGenSingleStream(SingleStream):
    """A call's duration is a query's latency as LoadGen times it; warm-up is the harness's own."""

    def block(self) -> Block:
        """Run one LoadGen test."""
        trace = mlperf.run_test("SingleStream", self.seat.calls, self.count, self.next_seed(), self.wake)
        return Block(trace.done_ns, trace.span_ns, trace.last, trace.last_index)


@_as_loadgen("multi-stream", MultiStreamWorkload)
class LoadGenMultiStream(MultiStream):
    """A call's duration is a query's latency as LoadGen times it, until the last of its samples is done."""

    def block(self) -> Block:
        """Run one LoadGen test."""
        size = self.workload.calls_per_query
        trace = mlperf.run_test("MultiStream", self.seat.calls, self.count, self.next_seed(), self.wake, size)
        latency = trace.done_ns.reshape(self.count, size).max(axis=1)
        return Block(latency, trace.span_ns, trace.last, trace.last_index)


@_as_loadgen("offline", OfflineWorkload)
class LoadGenOffline(Offline):
    """A call's duration is the time between two completions; the Block ends when LoadGen has the last."""

    def block(self) -> Block:
        """Run one LoadGen test: a single query that holds all samples."""
        trace = mlperf.run_test("Offline", self.seat.calls, self.count, self.next_seed(), self.wake)
        done = np.sort(trace.done_ns)
        return Block(np.diff(done, prepend=0), int(done[-1]), trace.last, trace.last_index)


_NO_BOUND_S = 3600.0


@_as_loadgen("server", ServerWorkload)
class LoadGenServer(ServerLoad):
    """A call's duration is a query's latency as LoadGen times it, since it was scheduled."""

    def at_rate(self, rate_per_s: float, count: int, seed: Seed, wake: Wake = at_once) -> Block:
        """Run one LoadGen test."""
        bound_ns = int((self.workload.latency_bound or _NO_BOUND_S) * 1e9)
        trace = mlperf.run_test(
            "Server",
            self.seat.calls,
            count,
            seed,
            wake,
            server_target_qps=rate_per_s,
            server_target_latency_ns=bound_ns,
            server_target_latency_percentile=self.workload.percentile,
        )
        arrivals = Arrivals(rate_per_s, trace.due_ns, trace.done_ns - trace.issued_ns)
        end = int((trace.due_ns + trace.done_ns).max())
        return Block(trace.done_ns, end, trace.last, trace.last_index, arrivals)
