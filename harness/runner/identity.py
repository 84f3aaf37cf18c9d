"""The digests that identify a Record (store/identity.py)."""

from __future__ import annotations

import os
import platform

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import digest
from harness.artifacts.code import code_of
from harness.environment import passed_on, speed_variables
from harness.formats.registry import FORMATS
from harness.measure.scenarios.registry import SCENARIOS
from harness.packages import versions_of
from harness.runner.addresses import SOURCE_PACKAGES
from harness.runner.plan import Plan, PlannedCell
from harness.runner.workers.launch import worker_environment
from harness.zoo.identities import training_version


def cell_digests(planned: PlannedCell, plan: Plan) -> dict[str, str]:
    """Return the digests of a Cell that are known before anything is built, by column.

    A skipped Cell has no digest of its technique and libraries, because its steps were not planned.
    """
    cell, target = planned.cell, planned.target
    pipeline, source, identity = cell.pipeline, cell.model.source, cell.model.identity
    measure = plan.suite.spec.measure
    deployment = pipeline.deployment
    stages = [job.stage for job in planned.jobs if job.stage]
    resolved = [stage.step.resolve(stage.config, target, plan.place.cpu_features) for stage in stages]
    code = [source.code, *((stage.content(), stage.step.code) for stage in stages)]
    opened_by = code_of(pipeline.runtime.open_session, deployment.open_session if deployment else None)
    own = worker_environment(target.threads, measure.environment, huge_pages=measure.huge_pages)
    variables = speed_variables({**passed_on(os.environ), **own})
    found = {
        "code": identity.code,
        "weights": identity.weights,
        "data": [identity.data, training_version(source.dataset(cell.model.config))],
        "technique": [pipeline.content(), code, resolved, measure.seed],
        "libraries": cell_libraries(planned),
        "settings": [
            cell.workload.content(),
            target.to_dict(),
            pipeline.runtime_config.content(),
            pipeline.deployment_config.content() if pipeline.deployment_config else None,
            opened_by,
        ],
        "environment": {**measure.environment, **variables},
        "machine": plan.place.machine_id,
    }
    unknown = {"technique", "libraries"} if planned.skip is not None else set()
    return {f"{kind}_digest": digest(content) for kind, content in found.items() if kind not in unknown}


def packages_of(planned: PlannedCell) -> set[str]:
    """Return the packages that a Cell is built and run with."""
    cell, steps = planned.cell, [job.stage.step for job in planned.jobs if job.stage]
    source, scenario = cell.model.source, SCENARIOS.get(cell.workload.scenario)
    own = {"numpy", *SOURCE_PACKAGES, *source.needs(cell.model.config)[0]}
    return own.union(cell.pipeline.runtime.packages, scenario.packages, *(step.packages for step in steps))


def cell_libraries(planned: PlannedCell) -> dict[str, str]:
    """Return the versions of Python and of all distributions that a Cell is built and run with."""
    libraries = versions_of(packages_of(planned)) | planned.cell.model.identity.libraries
    return libraries | {"python": platform.python_version()}


def artifact_digest(planned: PlannedCell, artifact: Artifact) -> str:
    """Return the digest of what a Session loads: the Artifact's content, and code that it refers to."""
    content = artifact.content_digest
    if content and not FORMATS.get(artifact.format).holds_code:
        return digest([content, planned.cell.model.identity.code])
    return content
