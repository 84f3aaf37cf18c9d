"""The digests that identify a Record (store/identity.py), and the environment variables that change speed."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping

from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import digest
from harness.artifacts.code import code_of
from harness.formats.registry import FORMATS
from harness.measure.scenarios.registry import SCENARIOS
from harness.packages import versions_of
from harness.runner.addresses import SOURCE_PACKAGES
from harness.runner.plan import Plan, PlannedCell
from harness.runner.workers.launch import worker_environment
from harness.zoo.identities import training_version

_SPEED = re.compile(
    r"(?:LD_PRELOAD|LD_LIBRARY_PATH|GLIBC_TUNABLES|PYTHONMALLOC|PYTHONOPTIMIZE)$|(?:PY)?TORCH|OPENVINO|"
    r"(?:OMP|GOMP|KMP|MKL|MALLOC|MIMALLOC|TCMALLOC|ORT|ONNXRUNTIME|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|OV|DNNL"
    r"|ONEDNN|TBB|ATEN|AT|CUDA|CUBLAS|CUDNN|NCCL|NVIDIA|XLA|TRITON)_|"
    r"TF_(?:CPP|CPU|CUDNN|DETERMINISTIC|DISABLE|ENABLE|FORCE|GPU|NUM|USE|XLA)_"  # other TF_ are Terraform's
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH")
_FOLDERS = re.compile(r"""[^\s:;,="']*[/\\](?=[^\s:;,="'/\\])""")
_DEVICE_ID = re.compile(r"\b(GPU|MIG)-([0-9a-fA-F-]{8,})")


def speed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that change speed, by name.

    Of a path only its last part is kept, and of a GPU's id a hash. Variables named as secrets are left out.
    """
    return {
        name: _DEVICE_ID.sub(_hashed, _FOLDERS.sub("", value))
        for name, value in sorted(environment.items())
        if _SPEED.match(name) and not _SECRET.search(name)
    }


def _hashed(found: re.Match[str]) -> str:
    return f"{found[1]}-{hashlib.sha256(found[2].encode()).hexdigest()[:8]}"


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
    variables = {**os.environ, **worker_environment(target.threads, huge_pages=measure.huge_pages)}
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
        "environment": speed_variables(variables),
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
