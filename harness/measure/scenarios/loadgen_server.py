"""LoadGen's server scenario; a rate that is to be found is searched for as our own `server` does."""

from __future__ import annotations

from harness.measure import mlperf
from harness.measure.blocks import Arrivals, Block
from harness.measure.openloop import Seed
from harness.measure.scenarios.registry import scenario
from harness.measure.serving import ServerLoad, ServerWorkload

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
