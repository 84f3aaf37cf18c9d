"""One replica: a Session that reads batches from shared memory and writes its outputs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import read_artifact
from harness.errors import HarnessError
from harness.formats.target import Target
from harness.measure.blocks import set_aside_garbage, time_in_turn
from harness.measure.clock import PerfClock
from harness.runner.workers.channel import Message, WorkerSide, serve
from harness.runtimes.registry import RUNTIMES
from harness.store.arrays import pack


def replicate(channel: WorkerSide, spec: Message) -> None:
    """Open the Session, then time requests until the parent closes the pipe."""
    calls, outputs = _open(spec)
    channel.emit("opened", outputs=outputs)
    clock, pool = PerfClock(), len(calls) - 1
    for message in channel:
        first, count = message["first"], message["count"]
        order = [calls[first]] if first == pool else [*calls[first:pool], *calls[:first]]
        block = time_in_turn(order, count, clock)
        last = first if first == pool else (first + block.last_index) % pool
        channel.emit("timed", calls_ns=pack(block.calls_ns), last_slot=last)


def _open(spec: Message) -> tuple[list[Callable[[], None]], list[Any]]:
    """Open the Session, run the first batch to learn the outputs' shapes, and bind every slot."""
    target = Target.from_dict(spec["target_share"])
    runtime = RUNTIMES.get(spec["runtime"])
    config = runtime.config.model_validate(spec["runtime_config"])
    session = runtime.open_session(config, read_artifact(Path(spec["artifact"])), target)
    folder = Path(spec["folder"])
    inputs = [
        np.memmap(folder / f"input_{i}", dtype, "r+", shape=tuple(shape))
        for i, (dtype, shape) in enumerate(spec["inputs"])
    ]
    example = [np.asarray(part) for part in session.run([np.asarray(shared[0]) for shared in inputs])]
    outputs = [
        np.memmap(folder / f"output_{spec['replica']}_{i}", part.dtype, "w+", shape=part.shape)
        for i, part in enumerate(example)
    ]

    def into_shared(call: Callable[[], Sequence[Any]]) -> Callable[[], None]:
        def copied() -> None:
            for shared, part in zip(outputs, call(), strict=True):
                if shared.shape != part.shape:
                    raise HarnessError(
                        f"an output's shape changes from call to call, {shared.shape} and {part.shape}: "
                        "replicas share outputs of one shape"
                    )
                shared[...] = part

        return copied

    calls = [
        into_shared(session.bind([np.asarray(shared[slot]) for shared in inputs]))
        for slot in range(len(inputs[0]))
    ]
    set_aside_garbage()
    return calls, [[part.dtype.str, part.shape] for part in example]


if __name__ == "__main__":
    serve(replicate, "a replica failed: ")
