"""The Plan: every Cell with its target, its build steps and its Artifact's address, or why it is skipped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from harness.artifacts.cache import Cache
from harness.errors import DataError, HarnessError, Problem
from harness.formats.target import Target
from harness.measure.scenarios.registry import SCENARIOS, Scenario
from harness.packages import missing_package
from harness.runner.addresses import data_address, source_address, step_address
from harness.runner.place import Place
from harness.runner.workers.inspect import Inspection, Inspector
from harness.runtimes.registry import Runtime
from harness.stats.planning import MIN_ROUNDS, WANTED_TRIALS
from harness.suite.matrix import Cell, Group, expand
from harness.suite.pipeline import Stage
from harness.suite.validation import CheckedSuite, Model
from harness.techniques.registry import Transform
from harness.units import say_count

# Seconds that a build or a start is assumed to take; only the dry run's estimate uses them.
GUESS_BUILD_S, GUESS_START_S, GUESS_COMPILE_S = 2.5, 1.0, 12.0
GUESS_AROUND_S = 0.015
"""Seconds between two Blocks: untimed calls, counters, messages."""


@dataclass(frozen=True)
class Job:
    """One build: `kind` is source, data or step; `parents` are the keys of the builds that it needs."""

    key: str
    kind: str
    model: Model
    parents: tuple[str, ...] = ()
    stage: Stage | None = None
    target: Target | None = None

    @property
    def title(self) -> str:
        """Return model and step, for readers."""
        whole = {"source": "the model itself", "data": "evaluation data"}
        return f"{self.model.name}: {self.stage.step.name if self.stage else whole[self.kind]}"


@dataclass
class PlannedCell:
    """A Cell with its target and builds; `skip` is the reason when it cannot run here."""

    cell: Cell
    target: Target
    jobs: tuple[Job, ...] = ()
    skip: str | None = None

    @property
    def artifact_key(self) -> str:
        """Return the address of the Artifact that its Session loads."""
        return self.jobs[-1].key if self.jobs else ""


@dataclass
class Plan:
    """All Groups, all Cells by id, and all builds in an order in which parents come first.

    `data_keys` are the addresses of the evaluation data, `inspections` the results of `Source.inspect`, both
    by model name. `problems` are faults that inspections found: the builds of those models will fail. A Plan
    can grow: see `add`.
    """

    suite: CheckedSuite
    place: Place
    groups: list[Group] = field(default_factory=list)
    cells: dict[str, PlannedCell] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    data_keys: dict[str, str] = field(default_factory=dict)
    inspections: dict[str, Inspection] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare what several Cells share, so that it is found out once."""
        self._seed = self.suite.spec.measure.seed
        self._chains: dict[tuple[int, int, Target], tuple[Job, ...] | str] = {}
        self._missing = functools.cache(missing_package)
        self._missing_for: Callable[[Runtime | Scenario], str | None] = functools.cache(lambda e: e.missing())

    def add(self, cell: Cell) -> PlannedCell:
        """Plan one Cell more: its target, its builds and its Group. Does nothing for a Cell that it holds.

        The first Cell of a Group starts that Group, without a baseline. Raises HarnessError where the Plan
        has another model of the same name.
        """
        if (known := self.cells.get(cell.cell_id)) is not None:
            return known
        models = (planned.cell.model for planned in self.cells.values())
        if any(model.name == cell.model.name and model != cell.model for model in models):
            raise HarnessError(f"the Plan has another model called {cell.model.name!r}")
        planned = self.cells[cell.cell_id] = self._plan(cell)
        for i, group in enumerate(self.groups):
            if group.group_id == cell.group_id:
                self.groups[i] = replace(group, cells=(*group.cells, cell))
                break
        else:
            self.groups.append(Group(cell.group_id, (cell,), None))
        return planned

    def source_key(self, model: Model) -> str:
        """Return the address of the model as given."""
        return self.jobs[self.data_keys[model.name]].parents[0]

    def runnable(self, group: Group) -> list[PlannedCell]:
        """Return the Group's Cells that are not skipped."""
        return [p for p in (self.cells[c.cell_id] for c in group.cells) if p.skip is None]

    def estimate_s(self, cache: Cache) -> tuple[float, float]:
        """Estimate the seconds of building what the cache lacks, and of measuring, which can stop earlier.

        Evaluation is not included, because the time of a call is not known yet.
        """
        missing = [job for job in self.jobs.values() if cache.get(job.key) is None]
        build = sum(
            GUESS_COMPILE_S if job.stage and "threads" in job.stage.step.specialize_on else GUESS_BUILD_S
            for job in missing
        )
        spec = self.suite.spec.measure
        trials = WANTED_TRIALS if spec.trials == "auto" else spec.trials
        measure = 0.0
        for group in self.groups:
            workload = group.cells[0].workload
            arms = len(self.runnable(group)) + 1 if self.runnable(group) else 0
            warm_s = spec.warmup_time + workload.search_s()
            around = 1 + GUESS_AROUND_S / workload.block_s(spec.block_time)
            measure += arms * (trials * (GUESS_START_S + warm_s) + around * self.timed_s(group))
        return build, measure

    def timed_s(self, group: Group) -> float:
        """Return how long each arm of a Group is timed, in seconds: `max_time`, or longer for long Blocks."""
        spec = self.suite.spec.measure
        trials = 1 if spec.trials == "auto" else spec.trials
        return max(spec.max_time, trials * MIN_ROUNDS * group.cells[0].workload.block_s(spec.block_time))

    def _plan(self, cell: Cell) -> PlannedCell:
        target, skip = self._target(cell)
        skip = skip or self._unfit(cell, target)
        if skip is None:
            at = (id(cell.model), id(cell.pipeline), target)  # the Plan's Cells keep both alive
            if at not in self._chains:
                self._chains[at] = self._chain(cell, target)
            chain = self._chains[at]
            if not isinstance(chain, str):
                self._data(cell.model, chain[0])
                self.jobs.update({job.key: job for job in chain})
                return PlannedCell(cell, target, chain)
            skip = chain
        return PlannedCell(cell, target, skip=skip)

    def _target(self, cell: Cell) -> tuple[Target, str | None]:
        place, given = self.place, len(self.place.cores)
        asked = place.threads(cell.hardware.threads)
        cores = place.choose(asked, cell.pipeline.replicas)
        target = Target(cell.workload.batch, cell.hardware.device, asked, cores)
        if asked > given:
            return (
                target,
                f"wants {say_count(asked, 'thread')}; this process is given {say_count(given, 'core')}",
            )
        if target.device == "cuda" and self.place.cuda_missing:
            return target, self.place.cuda_missing
        return target, None

    def _unfit(self, cell: Cell, target: Target) -> str | None:
        pipeline = cell.pipeline
        if target.device not in pipeline.runtime.devices:
            return f"{pipeline.runtime.name} does not run on {target.device}"
        for entry in (pipeline.runtime, SCENARIOS.get(cell.workload.scenario)):
            if missing := self._missing_for(entry):
                return missing
        fixed = self.inspections.get(cell.model.name, {}).get("fixed_batch")
        if fixed not in (None, target.batch):
            return f"the model's batch is fixed to {fixed}; the workload's is {target.batch}"
        about = (pipeline.runtime_config, cell.workload.scenario, target.threads, pipeline.replicas)
        if reason := pipeline.runtime.unfit(*about):
            return reason
        deployment = pipeline.deployment
        if deployment and cell.workload.scenario not in deployment.scenarios:
            wanted = " or ".join(deployment.scenarios)
            return f"{deployment.family} works only in the scenario {wanted}"
        if pipeline.replicas > target.threads:
            return f"{pipeline.replicas} replicas need as many threads; the budget is {target.threads}"
        share, rest = divmod(target.threads, pipeline.replicas)
        if rest:
            counts = [str(n) for n in range(2, target.threads + 1) if target.threads % n == 0]
            budget = say_count(target.threads, "thread")
            return (
                f"{budget} cannot be divided equally over {pipeline.replicas} replicas; "
                f"allowed: {' or '.join(counts)} replicas, or a multiple of {pipeline.replicas} threads"
            )
        if not target.cores:
            each = say_count(share, "thread")
            return f"{pipeline.replicas} replicas of {each} would have to share physical cores"
        return None

    def _chain(self, cell: Cell, target: Target) -> tuple[Job, ...] | str:
        model = cell.model
        if missing := self._missing(*model.source.needs(model.config)):
            return missing
        try:
            stages = cell.pipeline.stages(model.source.format)
        except ValueError as error:
            return f"not for this model: {error}"
        jobs = [self._source(model)]
        for stage in stages:
            step = stage.step
            if target.device not in step.devices:
                return f"{step.name} does not run on {target.device}"
            if weak := self._too_old(step, target):
                return weak
            if missing := self._missing(step.packages, step.extra):
                return missing
            if step.needs_training_data(stage.config) and not model.source.has_data(model.config):
                return f"{step.name} needs training data; give the model a dataset"
            jobs.append(self._step(model, jobs[-1], stage, target))
        return tuple(jobs)

    def _too_old(self, step: Transform, target: Target) -> str | None:
        """Return why the GPU is too old for a step; None if it is not, or if its capability is unknown."""
        has, needs = self.place.cuda_capability, step.cuda_capability
        if target.device != "cuda" or has is None or needs is None or has >= needs:
            return None
        named = (".".join(map(str, version)) for version in (needs, has))
        return "{} needs a GPU of compute capability {}; this one has {}".format(step.name, *named)

    def _source(self, model: Model) -> Job:
        if model.name in self.data_keys:
            return self.jobs[self.source_key(model)]
        return Job(source_address(model), "source", model)

    def _step(self, model: Model, parent: Job, stage: Stage, target: Target) -> Job:
        place = self.place
        resolved = stage.step.resolve(stage.config, target, place.cpu_features)
        key = step_address(parent.key, model, stage, target, resolved, place.machine_id, self._seed)
        return Job(key, "step", model, (parent.key,), stage, target)

    def _data(self, model: Model, source: Job) -> None:
        if model.name not in self.data_keys:
            job = Job(
                data_address(source.key, model, self._seed, self.suite.folder), "data", model, (source.key,)
            )
            self.data_keys[model.name] = job.key
            self.jobs[source.key] = source
            self.jobs[job.key] = job


def make_plan(suite: CheckedSuite, place: Place, inspector: Inspector | None = None) -> Plan:
    """Expand the suite and decide for each Cell whether and how it runs here.

    With an inspector, the Plan also knows what is in the models' files.
    """
    plan = Plan(suite, place, expand(suite))
    if inspector is not None:
        _inspect(plan, inspector)
    for group in plan.groups:
        for cell in group.cells:
            plan.cells[cell.cell_id] = plan._plan(cell)
    return plan


def _inspect(plan: Plan, inspector: Inspector) -> None:
    """Add the inspections of the suite's models, and a Problem for each model that is refused."""
    for name, model in plan.suite.models.items():
        try:
            plan.inspections[name] = inspector.inspect(model)
        except DataError as error:
            key = ("models", model.section or name, model.source.key)
            plan.problems.append(plan.suite.document.problem(key, str(error)))
