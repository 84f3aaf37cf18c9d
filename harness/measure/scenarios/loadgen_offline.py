"""LoadGen's offline scenario."""

from __future__ import annotations

import numpy as np

from harness.measure import mlperf
from harness.measure.blocks import Block
from harness.measure.scenarios.offline import Offline, OfflineWorkload
from harness.measure.scenarios.registry import scenario


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
