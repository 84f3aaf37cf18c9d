"""The manager's side of building: one worker a model, a fresh one after a failure, the cache in between."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.errors import WorkerError
from harness.formats.aoti.package import CACHE, scratch
from harness.formats.target import Target
from harness.runner.plan import Job, Plan
from harness.runner.progress import Observer
from harness.runner.workers.launch import Code, Worker, worker_environment
from harness.store.journal import Event
from harness.suite.validation import Model

OUT_OF_TIME = "given up, because the time for builds was used up (--time)"


class Builds:
    """Builds a Plan's jobs. `artifacts` holds what was built or cached, by key; `failures` reason and log.

    After the `deadline`, a time of `time.monotonic`, builds end, except those whose keys are `needed`.
    """

    def __init__(
        self, plan: Plan, cache: Cache, record: Callable[..., Event], observer: Observer, logs: Path
    ) -> None:
        self.plan, self.cache, self.observer, self.logs = plan, cache, observer, logs
        self.artifacts: dict[str, Artifact] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.deadline, self.needed = math.inf, frozenset[str]()
        self._record = record

    def failure(self, keys: Iterable[str]) -> tuple[str, str] | None:
        """Return the first failure among `keys`: reason and log."""
        return next((self.failures[key] for key in keys if key in self.failures), None)

    def build(self, keys: Iterable[str]) -> None:
        """Build what the cache lacks, one job after the other, so that build times are undisturbed.

        `keys` are in an order in which parents come first. What failed in this session is not tried again.
        """
        jobs = [self.plan.jobs[key] for key in keys if key not in self.failures]
        for job in jobs:
            if job.key not in self.artifacts and (artifact := self.cache.get(job.key)) is not None:
                self.artifacts[job.key] = artifact
        missing = [job for job in jobs if job.key not in self.artifacts]
        if missing:
            self.cache.make()
        self.observer.phase("build", len(missing))
        by_model: dict[str, list[Job]] = {}
        for job in missing:
            by_model.setdefault(job.model.name, []).append(job)
        for jobs in by_model.values():
            builder = _Builder(self.plan, self.cache, self.logs)
            try:
                for job in jobs:
                    self.observer.step(job.title)
                    self._build_one(builder, job)
                    self.observer.done()
            finally:
                if outlived := builder.close():
                    self._record("notice", text=f"builds: {outlived}")
                    self.observer.notice(outlived)

    def _build_one(self, builder: _Builder, job: Job) -> None:
        if inherited := self.failure(job.parents):
            self.failures[job.key] = inherited
            return
        names = {"key": job.key, "title": job.title}
        left_s = math.inf if job.key in self.needed else self.deadline - time.monotonic()
        try:
            if left_s <= 0:
                raise WorkerError(OUT_OF_TIME)
            artifact = builder.build(job, left_s)
        except WorkerError as error:
            late = job.key not in self.needed and time.monotonic() >= self.deadline
            reason = OUT_OF_TIME if late else str(error)
            self.failures[job.key] = (f"{job.title}: {reason}", builder.keep_log(job))
            self._record("build-failed", **names, reason=reason)
            self.observer.notice(f"{job.title} failed: {reason}", cause=reason)
        else:
            self.artifacts[job.key] = artifact
            build_s = artifact.steps[-1]["build_s"] if artifact.steps else 0.0
            self._record("built", **names, build_s=build_s)


class _Builder:
    """A build worker for one model, started when first needed and again after it died."""

    def __init__(self, plan: Plan, cache: Cache, logs: Path) -> None:
        self._plan, self._cache, self._logs = plan, cache, logs
        self._log = logs / ".build.log"
        self._worker: Worker | None = None
        self._log_start = 0

    def close(self) -> str:
        """End the worker, if one was started, and remove its log; return what `Worker.close` does."""
        outlived = self._worker.close() if self._worker is not None else ""
        with contextlib.suppress(OSError):
            self._log.unlink()
        return outlived

    def build(self, job: Job, left_s: float) -> Artifact:
        """Build one job. Raises WorkerError when it fails, crashes the worker or takes more than `left_s`."""
        worker = self._worker or self._start(job.model)
        self._log_start = self._log.stat().st_size
        try:
            worker.send("build", **self._message(job))
            reply = worker.receive(min(left_s, self._plan.suite.spec.measure.build_timeout))
        except BaseException:
            worker.kill()
            self._worker = None
            self._cache.sweep()
            raise
        if reply["event"] == "failed":
            raise WorkerError(reply["reason"])
        artifact = self._cache.get(job.key)
        if artifact is None:
            raise WorkerError("the Artifact is gone from the cache; was the cache cleared meanwhile?")
        return artifact

    def keep_log(self, job: Job) -> str:
        """Keep what the failed job printed; return the log's name."""
        name = f"build-{job.key}.log"
        with contextlib.suppress(OSError):
            (self._logs / name).write_bytes(self._log.read_bytes()[self._log_start :])
        return name

    def _start(self, model: Model) -> Worker:
        cores = len(self._plan.place.cores)
        environment = {**worker_environment(cores), **_inductor_cache(self._cache.inductor)}
        folder = self._plan.suite.folder
        worker = Worker(
            "harness.runner.workers.build", self._log, code=Code.here(folder), environment=environment
        )
        self._worker = worker
        config = model.config.model_dump(mode="json", exclude_unset=True)
        worker.send("model", source=model.source.key, config=config, folder=str(folder))
        return worker

    def _message(self, job: Job) -> dict[str, Any]:
        target = job.target or Target(batch=1, threads=len(self._plan.place.cores))
        message: dict[str, Any] = {
            "key": job.key,
            "kind": job.kind,
            "parents": job.parents,
            "cache": str(self._cache.root),
            "seed": self._plan.suite.spec.measure.seed,
            "target": target.to_dict(),
            "cpu_features": sorted(self._plan.place.cpu_features),
            "source_key": self._plan.source_key(job.model),
        }
        if job.stage is not None:
            message["step"] = job.stage.step.name
            message["config"] = job.stage.config.model_dump(mode="json")
        return message


def _inductor_cache(folder: Path) -> dict[str, str]:
    """Make `folder` TorchInductor's cache, or one that TorchInductor can use where it cannot use this.

    It keeps what TorchInductor found out about the processor. Each build has an empty cache below it.
    """
    return {CACHE: str(scratch(folder))}
