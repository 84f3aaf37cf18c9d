"""The manager's side of building: one worker a model, a fresh one after a failure, the cache in between."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.devices.cuda import CUDA_ORDER
from harness.errors import WorkerError
from harness.formats.aoti.package import has_space
from harness.formats.target import Target
from harness.runner.experiment.trial import search_path
from harness.runner.plan import Job, Plan
from harness.runner.progress import Observer
from harness.runner.workers.channel import Worker
from harness.store.journal import Journal
from harness.suite.validation import Model


@dataclass
class Builds:
    """What came of the Plan's jobs: Artifacts by key, and for the others why not and the log's name."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)

    def failure(self, keys: list[str]) -> tuple[str, str] | None:
        """Return the first failure among `keys`: reason and log."""
        return next((self.failures[key] for key in keys if key in self.failures), None)


def build_all(plan: Plan, cache: Cache, journal: Journal, observer: Observer, logs: Path) -> Builds:
    """Build what the cache lacks, one job after the other, so that build times are undisturbed."""
    builds = Builds()
    for key in plan.jobs:
        if (artifact := cache.get(key)) is not None:
            builds.artifacts[key] = artifact
    missing = [job for job in plan.jobs.values() if job.key not in builds.artifacts]
    observer.phase("build", len(missing))
    by_model: dict[str, list[Job]] = {}
    for job in missing:
        by_model.setdefault(job.model.name, []).append(job)
    for jobs in by_model.values():
        with _Builder(plan, cache, logs) as builder:
            for job in jobs:
                observer.step(job.title)
                _build_one(builder, job, builds, journal)
                failed = builds.failures.get(job.key)
                observer.done(f"{job.title} failed: {failed[0]}" if failed else "")
    return builds


def _build_one(builder: _Builder, job: Job, builds: Builds, journal: Journal) -> None:
    if inherited := builds.failure(list(job.parents)):
        builds.failures[job.key] = inherited
        return
    try:
        builds.artifacts[job.key] = builder.build(job)
    except WorkerError as error:
        builds.failures[job.key] = (f"{job.title}: {error}", builder.keep_log(job))
        journal.append("build-failed", key=job.key, title=job.title, reason=str(error))
    else:
        artifact = builds.artifacts[job.key]
        last = artifact.steps[-1] if artifact.steps else {"build_s": 0.0}
        journal.append("built", key=job.key, title=job.title, build_s=last["build_s"])


class _Builder:
    """A build worker for one model, started when first needed and again after it died."""

    def __init__(self, plan: Plan, cache: Cache, logs: Path) -> None:
        self._plan, self._cache, self._logs = plan, cache, logs
        self._log = logs / ".build.log"
        self._worker: Worker | None = None
        self._log_start = 0

    def __enter__(self) -> _Builder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()
        with contextlib.suppress(OSError):
            self._log.unlink()

    def build(self, job: Job) -> Artifact:
        """Build one job. Raises WorkerError when it fails, crashes the worker or takes too long."""
        worker = self._worker or self._start(job.model)
        self._log_start = self._log.stat().st_size
        try:
            worker.send("build", **self._message(job))
            answer = worker.receive(self._plan.suite.spec.measure.build_timeout)
        except BaseException:
            worker.kill()
            self._worker = None
            self._cache.sweep()
            raise
        if answer["event"] == "failed":
            raise WorkerError(answer["reason"])
        artifact = self._cache.get(job.key)
        if artifact is None:
            raise WorkerError("the Artifact has gone from the cache; was it cleared meanwhile?")
        return artifact

    def keep_log(self, job: Job) -> str:
        """Keep what the failed job printed; return the log's name."""
        name = f"build-{job.key}.log"
        with contextlib.suppress(OSError):
            (self._logs / name).write_bytes(self._log.read_bytes()[self._log_start :])
        return name

    def _start(self, model: Model) -> Worker:
        threads = str(len(self._plan.place.cores))
        environment = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            **CUDA_ORDER,
            **_inductor_cache(self._cache.root / "inductor"),
        }
        folder = str(self._plan.suite.folder)
        worker = Worker(
            "harness.runner.workers.build",
            self._log,
            environment=environment,
            search=search_path(self._plan.suite.folder),
        )
        self._worker = worker
        worker.send(
            "model", source=model.source.key, config=model.config.model_dump(mode="json"), folder=folder
        )
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
    """Where TorchInductor keeps its kernels: beside ours, unless it would trip over a space."""
    return {} if has_space(folder) else {"TORCHINDUCTOR_CACHE_DIR": str(folder)}
