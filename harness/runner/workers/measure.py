"""The measuring worker: one fresh process for one Trial of one arm. It imports its own runtime and no other.

experiment/trial.py starts it and sends the commands: load, warm, block …, memory, evaluation. It pauses the
worker between them, so that a waiting worker uses no CPU.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import read_artifact
from harness.devices.probes import open_probe
from harness.errors import HarnessError
from harness.formats.target import Target
from harness.measure.blocks import set_aside_garbage, slow_down
from harness.measure.clock import PerfClock, cost_ns
from harness.measure.grading import tags
from harness.measure.memory import PhaseMeter, with_children
from harness.measure.probe import Probe
from harness.measure.procfs import thread_times
from harness.measure.scenarios.registry import SCENARIOS, Load, Seat
from harness.measure.threads import cores_outside, rests
from harness.runner.workers.audits.registry import AUDITS, Subject
from harness.runner.workers.channel import Message, WorkerSide, serve
from harness.runner.workers.evaluation import Evaluation
from harness.runner.workers.evaluation_data import read_evaluation_data
from harness.runner.workers.replicas import Host, family_pids
from harness.runtimes.registry import RUNTIMES, Session
from harness.store.arrays import pack
from harness.techniques.registry import DEPLOYMENTS
from harness.zoo.user_metric import find_metric


class Trial:
    """One arm in this process."""

    def __init__(self, channel: WorkerSide, spec: Message) -> None:
        self.channel = channel
        self.spec = spec
        self.target = Target.from_dict(spec["target"])
        self.clock = PerfClock()
        self.scenario = SCENARIOS.get(spec["workload"]["scenario"])
        self.load_on: Load | None = None
        self.data = read_evaluation_data(Path(spec["data"]))
        self.pool: list[tuple[Any, ...]] = []
        self.device = open_probe(self.target.device)
        self.meter = PhaseMeter(device=self.device)
        self.session: Session | None = None
        self.open_at: Callable[[int], Session | None] = lambda _batch: None
        self.calls: list[Callable[[], Any]] = []
        self.audits = [cls() for cls in AUDITS.values()]

    def ready(self) -> None:
        """Import the runtime, report how long that took since the process was requested, and fetch inputs.

        Fetching inputs counts neither as part of the start nor as memory that the model takes.
        """
        runtime = RUNTIMES.get(self.spec["runtime"])
        for module in runtime.imports:
            importlib.import_module(module)
        import_s = (time.perf_counter_ns() - self.channel.spawned_ns) / 1e9
        self.pool = self.data.pool(self.target.batch)
        self.meter.begin("empty")
        phase = self.meter.end()
        self.channel.emit(
            "ready",
            import_s=import_s,
            rss_empty_bytes=phase.rss_end_bytes,
            pss_empty_bytes=phase.pss_bytes,
            device_empty_bytes=phase.device_bytes,
            clock_ns=cost_ns(self.clock),
        )

    def load(self, _message: Message) -> None:
        """Open a Session on the Artifact on disk, and make the first call."""
        runtime = RUNTIMES.get(self.spec["runtime"])
        artifact = read_artifact(Path(self.spec["artifact"]))
        passing = family_pids()[1:]  # what an import started may end at any time
        config = runtime.config.model_validate(self.spec["runtime_config"])
        if runtime.any_batch:
            self.open_at = lambda batch: runtime.open_session(
                config, artifact, replace(self.target, batch=batch)
            )
        self.meter.begin("load")
        start = time.perf_counter()
        if self.spec["deployment"]:
            deployment = DEPLOYMENTS.get(self.spec["deployment"])
            host = Host(self.spec, self.target, self.pool)
            deployed = deployment.config.model_validate(self.spec["deployment_config"])
            self.session = deployment.open_session(deployed, host)
        else:
            self.session = runtime.open_session(config, artifact, self.target)
        load_s = time.perf_counter() - start
        loaded = self.meter.end()
        family = [pid for pid in family_pids() if pid not in passing]
        loaded = with_children(loaded, [pid for pid in family if pid != os.getpid()])
        self.meter = PhaseMeter(family, device=self.device)
        self.meter.begin("first call")
        start = time.perf_counter()
        assert self.session is not None  # noqa: S101
        self.calls = [self.session.bind(self.pool[0])]
        outputs = self.calls[0]()
        first_call_s = time.perf_counter() - start
        if any(np.isnan(part).any() for part in map(np.asarray, outputs) if part.dtype.kind in "fc"):
            raise HarnessError("the first output contains NaN; this model is not benchmarked")
        self.calls += [self.session.bind(batch) for batch in self.pool[1:]]
        set_aside_garbage()
        first = self.meter.end()
        self.meter.begin("steady")
        self.probe = Probe(family, self.target.cores or None, self.target.threads, self.device)
        self.channel.emit(
            "loaded",
            load_s=load_s,
            first_call_s=first_call_s,
            load=loaded.to_dict(),
            first_call=first.to_dict(),
        )

    def warm(self, message: Message) -> None:
        """Call until times are steady; decide how many calls make a Block; inject the arm's slow-down."""
        self.device.resume()
        self.load_on = self._load(message)
        warmth = self.load_on.warm()
        if wait_ns := round(self.spec["slowdown"] * warmth.sample_s * self.target.batch * 1e9):
            self.calls = slow_down(self.calls, wait_ns, self.clock)
            self.load_on = self._load(message)
            warmth = self.load_on.warm()
        rested = rests(0.01, 0.5, self._cpu_s)  # only told: the manager pauses this process between commands
        self.device.pause()
        self.channel.emit(
            "warm",
            rested=rested,
            calls=warmth.calls,
            seconds=warmth.seconds,
            steady=warmth.steady,
            block_calls=self.load_on.count,
            search=warmth.search,
            wait_ns=wait_ns,
        )

    def block(self, _message: Message) -> None:
        """Time one Block, and read the noise evidence around it; garbage is collected before."""
        assert self.load_on is not None  # noqa: S101
        gc.collect()
        block = self.load_on.block()
        before, start_ns = self._seen, self.load_on.awake_ns
        after = self.probe.read()
        worked_ns = int(block.arrivals.service_ns.sum()) if block.arrivals else block.duration_ns
        worked_ns += start_ns - before.wall_ns  # the calls that woke the cores, after the first look
        for audit in self.audits:
            audit.timed(block.last_index, block.last and self.data.output_rows(block.last))
        evidence = self.probe.between(before, after)
        self.channel.emit(
            "block",
            start_ns=start_ns,
            duration_ns=block.duration_ns,
            samples=block.calls * self.load_on.samples,
            calls_ns=pack(block.calls_ns),
            seconds_per_sample=self.load_on.seconds_per_sample(block),
            statistics=self.load_on.statistics(block),
            evidence=evidence.to_dict(),
            threads_used=self.probe.threads_used(before, after, worked_ns / 1e9),
            tags=list(tags(evidence)),
        )

    def memory(self, _message: Message) -> None:
        """End the steady phase; report the memory that it needed, and the threads and cores set now."""
        assert self.session is not None  # noqa: S101
        self.channel.emit(
            "memory",
            steady=self.meter.end().to_dict(),
            threads_set=self.session.threads(),
            cores_outside=cores_outside(self.target.cores),
        )

    def evaluation(self, message: Message) -> None:
        """Let the audits look at the Session that was timed, and score it (evaluation.py)."""
        assert self.session is not None  # noqa: S101
        metric = find_metric(self.data.metric, Path(message.get("folder", ".")))
        subject = self._subject()
        for audit in self.audits:
            audit.probe(subject)
        start = last_beat = time.perf_counter()

        def beat() -> None:
            nonlocal last_beat
            if time.perf_counter() - last_beat > message["beat_s"]:
                last_beat = time.perf_counter()
                self.channel.emit("alive")

        session, batch = self.session, self.target.batch
        limit_s = message.get("time")
        evaluation = Evaluation(
            session, batch, self.pool, self.data, self.audits, self.open_at, beat, metric, limit_s
        )
        found = evaluation.run(message.get("batch"), message.get("samples"), self.spec["seed"][0])
        self.channel.emit(
            "evaluation",
            metric=metric.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            seconds=time.perf_counter() - start,
            **found,
            audits=[audit.finding().to_dict() for audit in self.audits],
        )

    def _load(self, message: Message) -> Load:
        seat = Seat(
            self.session,
            self.calls,
            self.clock,
            message["block_s"],
            message["cap_s"],
            tuple(self.spec["seed"]),
            lambda seconds: self.channel.emit("alive", patience_s=seconds),
            self._look,
        )
        return self.scenario.load(self.scenario.workload.model_validate(self.spec["workload"]), seat)

    def _subject(self) -> Subject:
        """Return what audits may use of the Session."""
        assert self.session is not None  # noqa: S101
        return Subject(
            self.session.bind,
            self.calls,
            self.pool,
            lambda rng: self.data.draw(rng, self.target.batch),
            self.clock,
            lambda: self.channel.emit("alive"),
        )

    def _look(self) -> None:
        """Read the noise evidence."""
        self._seen = self.probe.read()

    def _cpu_s(self) -> float:
        """Return the CPU time of the replicas, or of this process without them."""
        replicas = thread_times(self.probe.pids[1:]).values()
        return sum(times.cpu_s for times in replicas) or time.process_time()


def measure(channel: WorkerSide, spec: Message) -> None:
    """Measure one Trial, command by command, until the manager closes the pipe."""
    trial = Trial(channel, spec)
    trial.ready()
    for message in channel:
        getattr(trial, message["do"])(message)
    if trial.session is not None:
        trial.session.close()


if __name__ == "__main__":
    serve(measure)
