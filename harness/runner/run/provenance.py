"""What a Run says of itself besides its measurements: commit, machine, libraries, Groups, Cells."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.devices.doctor import examine
from harness.devices.fingerprint import Machine
from harness.environment import speed_variables
from harness.packages import package_version, versions_of
from harness.runner.identity import packages_of
from harness.runner.plan import Plan, PlannedCell
from harness.store.info import Commit, GroupInfo, RunInfo
from harness.suite.matrix import Group


def describe_run(plan: Plan, machine: Machine, commit: Commit | None, command: str) -> RunInfo:
    """Return what is known of a Run that begins now: suite, machine, libraries, settings, Groups."""
    spec = plan.suite.spec
    return RunInfo(
        harness_version=package_version("accel-harness"),
        run_id=secrets.token_hex(3),
        suite=spec.suite,
        suite_file=plan.suite.document.path.name,
        suite_text=plan.suite.document.text,
        suite_sha256=plan.suite.sha256,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit,
        machine=machine.to_dict(),
        doctor=[finding.to_dict() for finding in examine()],
        versions=versions(plan),
        environment=speed_variables(os.environ),
        seed=spec.measure.seed,
        settings=spec.measure.model_dump(mode="json"),
        quality=spec.quality.model_dump(mode="json"),
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


def current_commit(folder: Path) -> Commit | None:
    """Return the commit checked out in `folder`, and whether tracked files were changed; None outside git."""
    head = _git(folder, "log", "-1", "--format=%H%x00%s")
    if not head:
        return None
    commit, _, subject = head.partition("\0")
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return Commit(hash=commit, dirty=dirty, subject=subject)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
