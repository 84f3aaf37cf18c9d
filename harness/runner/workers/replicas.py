"""Replicas: Sessions in processes of their own that share batches through memory-mapped files.

This is the side of the measuring worker; replica.py is one replica. Inputs are in shared memory before
anything is timed, as they are in a single process's memory; each call copies its outputs into shared memory.
"""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import WorkerError
from harness.files import make_folder, sweep
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.measure.blocks import Block, Wake, at_once
from harness.measure.clock import Clock, elapsed_ns
from harness.measure.procfs import descendants
from harness.runner.workers.channel import Message
from harness.runner.workers.launch import Worker, worker_environment
from harness.runtimes.registry import Call, Outputs, Session
from harness.store.arrays import unpack

CHUNKS = 4
"""A replica gets its share of a Block in so many parts, so that a slow one does not delay the end."""
ROOM = 4
"""Shared memory is used where it has room for so many times the inputs: outputs must fit, too."""
AHEAD = 2
"""Parts that are queued at a replica, so that it never waits for the dispatcher."""
SHARED = "harness"
"""Prefix of the names of folders in shared memory; machine and process follow."""


def family_pids() -> tuple[int, ...]:
    """Return this process and all below it."""
    return (os.getpid(), *descendants(os.getpid()))


def sweep_shared_memory() -> None:
    """Remove the folders of workers that were killed while their replicas were opening."""
    for place in _places():
        sweep(place, SHARED)


def _places() -> list[Path]:
    """Return where batches can be shared: in memory, where there is such a folder, and on the disk."""
    memory, disk = Path("/dev/shm"), Path(tempfile.gettempdir())  # noqa: S108
    return [memory, disk] if memory.is_dir() else [disk]


class Host:
    """Opens the Sessions of a deployment (techniques/registry.py, ReplicaHost)."""

    def __init__(self, spec: Message, target: Target, pool: Sequence[tuple[Array, ...]]) -> None:
        self.target = target
        self._spec = spec
        self._pool = pool

    def concurrent(self, targets: list[Target]) -> Session:
        """Open one Session in a process of its own for each target."""
        return ReplicatedSession(self._spec, targets, self._pool)


class ReplicatedSession(Session):
    """Spreads requests over replicas; `serve` times many at once."""

    def __init__(self, spec: Message, targets: list[Target], pool: Sequence[tuple[Array, ...]]) -> None:
        self.timeout_s = float(spec["timeout_s"])
        self.fixed_batch = targets[0].batch
        self._pool = list(pool)
        self._replica = self._next = 0
        self._workers: list[Worker] = []
        needed = sum(array.nbytes for array in self._pool[0]) * (len(self._pool) + 1)
        places = [place for place in _places() if shutil.disk_usage(place).free > ROOM * needed]
        self._folder = make_folder((places or _places())[0], SHARED)
        try:
            self._inputs = self._share_inputs()
            self._outputs = self._open(spec, targets)
        except BaseException:
            for worker in self._workers:
                worker.kill()
            raise
        finally:  # all have mapped the files, which exist without names until the last process ends
            shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self, spec: Message, targets: list[Target]) -> list[list[NDArray[Any]]]:
        """Start a worker for each target; return the maps of their outputs."""
        environment = worker_environment(targets[0].threads)  # what the suite sets is inherited
        for target in targets:
            options: dict[str, Any] = {"environment": environment, "cores": target.cores, "leads": False}
            self._workers.append(Worker("harness.runner.workers.replica", None, **options))
        for i, (worker, target) in enumerate(zip(self._workers, targets, strict=True)):
            worker.send(
                "open",
                **spec,
                replica=i,
                target_share=target.to_dict(),
                folder=str(self._folder),
                inputs=[[str(a.dtype), a.shape] for a in self._inputs],
            )
        opened = [worker.expect("opened", self.timeout_s) for worker in self._workers]
        return [self._map_outputs(i, message["outputs"]) for i, message in enumerate(opened)]

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call that the replicas execute in rotation."""
        slot = next((i for i, batch in enumerate(self._pool) if batch is inputs), len(self._pool))
        if slot == len(self._pool):  # of any other batch: it is called before the next one is bound
            for shared, array in zip(self._inputs, inputs, strict=True):
                shared[slot] = array

        def call() -> Outputs:
            replica = self._replica = (self._replica + 1) % len(self._workers)
            self._workers[replica].send("time", first=slot, count=1)
            self._workers[replica].expect("timed", self.timeout_s)
            return tuple(np.array(part) for part in self._outputs[replica])

        return call

    @property
    def lanes(self) -> int:
        """Requests that run at the same time: one a replica."""
        return len(self._workers)

    def serve(self, count: int, clock: Clock, wake: Wake = at_once) -> Block:
        """Time `count` requests from the pool; each goes to a replica that is free."""
        size = max(count // (len(self._workers) * CHUNKS), 1)
        parts = [(self._next + first, min(size, count - first)) for first in range(0, count, size)]
        self._next = (self._next + count + 1) % len(self._pool)
        parts.reverse()
        waiting = dict.fromkeys(self._workers, 0)
        calls_ns: list[NDArray[np.int64]] = []
        last = (0, 0)
        wake()
        start = clock.now_ns()
        for _ in range(AHEAD):
            for worker in self._workers:
                self._hand_out(worker, parts, waiting)
        while any(waiting.values()):
            for worker in wait_any([w for w in self._workers if waiting[w]], self.timeout_s):
                message = worker.expect("timed", self.timeout_s)
                waiting[worker] -= 1
                self._hand_out(worker, parts, waiting)
                calls_ns.append(unpack(message["calls_ns"]))
                last = (self._workers.index(worker), message["last_slot"])
        duration = elapsed_ns(start, clock.now_ns())
        output = tuple(np.array(part) for part in self._outputs[last[0]])
        return Block(np.concatenate(calls_ns), duration, output, last[1])

    def close(self) -> None:
        """End the replicas, which frees the shared memory."""
        for worker in self._workers:
            worker.close()

    def _hand_out(self, worker: Worker, parts: list[tuple[int, int]], waiting: dict[Worker, int]) -> None:
        if parts:
            first, count = parts.pop()
            try:
                worker.send("time", first=first % len(self._pool), count=count)
            except WorkerError:
                while True:  # its last event tells why it has ended, and `expect` raises that
                    worker.expect("timed", self.timeout_s)
            waiting[worker] += 1

    def _share_inputs(self) -> list[NDArray[Any]]:
        """Share one file for each input: the pool's batches, and a slot for any other batch."""
        maps: list[NDArray[Any]] = []
        for i, first in enumerate(self._pool[0]):
            shape = (len(self._pool) + 1, *first.shape)
            shared = np.memmap(self._folder / f"input_{i}", first.dtype, "w+", shape=shape)
            for slot, batch in enumerate(self._pool):
                shared[slot] = batch[i]
            maps.append(shared)
        return maps

    def _map_outputs(self, replica: int, outputs: list[Any]) -> list[NDArray[Any]]:
        return [
            np.memmap(self._folder / f"output_{replica}_{i}", dtype, "r", shape=tuple(shape))
            for i, (dtype, shape) in enumerate(outputs)
        ]


def wait_any(workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
    """Wait until some of `workers` have something to read (an event, or their end); return those."""
    waiting = {worker.fileno(): worker for worker in workers}
    if ready := [worker for worker in workers if worker.has_event]:
        return ready
    return [waiting[fd] for fd in select.select(list(waiting), [], [], timeout_s)[0]]
