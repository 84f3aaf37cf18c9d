"""What a Run says of itself besides its measurements: code, machine, libraries, Groups, Cells."""

from __future__ import annotations

import functools
import json
import os
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.artifacts.code import HARNESS, code_digest
from harness.devices.doctor import examine
from harness.devices.fingerprint import Machine
from harness.environment import speed_variables
from harness.packages import package_version, versions_of
from harness.runner.identity import packages_of
from harness.runner.plan import Plan, PlannedCell
from harness.store.info import Commit, GroupInfo, Repository, RunInfo
from harness.suite.matrix import Group

GIT_S = 20
"""Seconds that git may take to answer."""
NOT_MEASURING = ("commands", "report")


def describe_run(plan: Plan, machine: Machine, command: str) -> RunInfo:
    """Return what is known of a Run that begins now: suite, code, machine, libraries, settings, Groups."""
    spec, repositories = plan.suite.spec, find_repositories(plan)
    suites = next((found for found in repositories if "suite" in found.holds), None)
    return RunInfo(
        harness_version=package_version("accel-harness"),
        run_id=secrets.token_hex(3),
        suite=spec.suite,
        suite_file=plan.suite.document.path.name,
        suite_text=plan.suite.document.text,
        suite_sha256=plan.suite.sha256,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=suites and Commit(hash=suites.hash, dirty=suites.dirty, subject=suites.subject),
        repositories=repositories,
        harness_digest=harness_digest(),
        machine=machine.to_dict(),
        doctor=[finding.to_dict() for finding in examine()],
        versions=versions(plan),
        environment=speed_variables(os.environ),
        seed=spec.measure.seed,
        settings=spec.measure.model_dump(mode="json"),
        quality=spec.quality.model_dump(mode="json") | {"by_metric": spec.quality.budgets()},
        groups=[_describe_group(plan, group) for group in plan.groups],
        command=command,
    )


def versions(plan: Plan) -> dict[str, str]:
    """Return the versions of all libraries that the Plan's Cells are built or run with."""
    return versions_of({"onnxruntime"}.union(*map(packages_of, plan.cells.values())))


def _describe_group(plan: Plan, group: Group) -> GroupInfo:
    cell = group.cells[0]
    target = plan.cells[cell.cell_id].target
    return GroupInfo(
        group_id=group.group_id,
        model=cell.model.name,
        workload=cell.workload_name,
        hardware=cell.hardware_name,
        scenario=cell.workload.scenario,
        options=cell.workload.model_dump(mode="json"),
        speed=cell.workload.speed(),
        conditions=cell.workload.conditions(),
        call=cell.workload.timed_call(),
        batch=cell.workload.batch,
        device=target.device,
        threads=target.threads,
        baseline=group.baseline.cell_id if group.baseline else "",
    )


def describe_cell(planned: PlannedCell, group: Group) -> dict[str, Any]:
    """Return the columns of a Record that are known before anything is built (store/record.py)."""
    cell, pipeline = planned.cell, planned.cell.pipeline
    return {
        "cell_id": cell.cell_id,
        "group_id": cell.group_id,
        "model": cell.model.name,
        "technique": pipeline.name,
        "workload": cell.workload_name,
        "hardware": cell.hardware_name,
        "families": pipeline.families,
        "runtime": pipeline.runtime.name,
        "runtime_compute_dtype": pipeline.runtime.compute_dtype(pipeline.runtime_config),
        "pipeline": json.dumps(pipeline.settings()),
        "scenario": cell.workload.scenario,
        "batch": cell.workload.batch,
        "random_samples": cell.model.source.random_samples(cell.model.config),
        "tokens_per_sample": cell.model.source.tokens(cell.model.config),
        "device": planned.target.device,
        "threads": planned.target.threads,
        "replicas": pipeline.replicas,
        "arm": "baseline" if group.baseline == cell else "subject",
        "status": "skipped" if planned.skip else "pending",
        "reason": planned.skip,
    }


@functools.cache
def harness_files() -> tuple[Path, ...]:
    """Return the harness's code that a Run's numbers can depend on: all but reports and commands."""
    own = (file for file in HARNESS.rglob("*.py") if file.relative_to(HARNESS).parts[0] not in NOT_MEASURING)
    return tuple(sorted(own))


def harness_digest() -> str:
    """Hash that code without docstrings and comments."""
    return code_digest(HARNESS, harness_files())


def find_repositories(plan: Plan) -> list[Repository]:
    """Return the git repositories of the suite file, the models' own code and the harness, each once.

    What is in no repository, or ignored there, is left out; so is all that git cannot tell.
    """
    models = {id(cell.model): cell.model for cell in (planned.cell for planned in plan.cells.values())}
    depends = [plan.suite.folder / name for m in models.values() for name in getattr(m.config, "depends", ())]
    parts = {
        "suite": [plan.suite.document.path],
        "model": [*depends, *(file for model in models.values() for file in model.identity.files)],
        "harness": harness_files(),
    }
    return repositories_of(parts)


def repositories_of(parts: Mapping[str, Iterable[Path]]) -> list[Repository]:
    """Return the repositories that hold these files (or folders), named by what they are a part of."""
    held: dict[str, dict[str, list[str]]] = {}
    top_of = functools.cache(lambda folder: _git(folder, "rev-parse", "--show-toplevel"))
    for part, files in parts.items():
        for file in dict.fromkeys(path.resolve() for path in files):
            if top := top_of(file.parent):
                held.setdefault(top, {}).setdefault(part, []).append(str(file))
    return [found for top, files in held.items() if (found := _repository(Path(top), files)) is not None]


def _repository(top: Path, parts: Mapping[str, list[str]]) -> Repository | None:
    """Return the commit of a repository; None if it has none, or ignores all files of `parts`."""
    listing = ("--literal-pathspecs", "ls-files", "--exclude-standard", "--exclude=__pycache__")
    new = {part: _git(top, *listing, "--others", "--", *files) for part, files in parts.items()}
    holds = [part for part, files in parts.items() if new[part] or _git(top, *listing, "--", *files)]
    head = _git(top, "log", "-1", "--format=%H%x00%s")
    if not holds or not head:
        return None
    commit, _, subject = head.partition("\0")
    changed = _git(top, "status", "--porcelain", "--untracked-files=no")
    dirty = changed != "" or any(found != "" for found in new.values())  # None: it cannot be said to be clean
    return Repository(hash=commit, dirty=dirty, subject=subject, holds=holds)


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None if it fails, is missing, or refuses the folder."""
    own = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")  # set inside hooks
    environment = {name: value for name, value in os.environ.items() if name not in own}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
