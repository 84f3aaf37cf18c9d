"""In words and columns: errors of workers, and Cells before they are measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.runner.plan import PlannedCell
    from harness.suite.matrix import Group


def describe(error: BaseException) -> str:
    """A harness error's own words; else the error's type and the first line of its message."""
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, HarnessError) else f"{type(error).__name__}: {first}".rstrip(": ")


def describe_cell(planned: PlannedCell, group: Group) -> dict[str, Any]:
    """The columns of a Record that are known before anything is built (store/schema.py)."""
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
        "runtime_arithmetic": pipeline.runtime.arithmetic(pipeline.runtime_config),
        "pipeline": json.dumps(pipeline.content()),
        "scenario": cell.workload.scenario,
        "batch": cell.workload.batch,
        "tokens_per_item": cell.model.source.tokens(cell.model.config),
        "device": planned.target.device,
        "threads": planned.target.threads,
        "replicas": pipeline.replicas,
        "arm": "baseline" if group.baseline == cell else "cell",
        "status": "skipped" if planned.skip else "pending",
        "reason": planned.skip,
    }
