"""`harness run --dry-run`: the Plan as tables, what is skipped and why, and how long it will take."""

from __future__ import annotations

from collections import Counter

from rich.table import Table
from rich.text import Text

from harness.artifacts.cache import Cache
from harness.console import Terminal
from harness.devices.fingerprint import Machine
from harness.errors import ExitCode
from harness.runner.plan import Plan
from harness.suite.matrix import Group
from harness.units import say_seconds

SHOWN_GROUPS = 40
"""A matrix of thousands of Cells is counted, not printed whole."""


def show_plan(plan: Plan, machine: Machine, cache: Cache, terminal: Terminal) -> ExitCode:
    """Print the Plan. Exit status 2 when a model cannot be used, 5 when nothing could run."""
    runnable = sum(len(plan.runnable(group)) for group in plan.groups)
    terminal.say(
        f"{plan.suite.spec.suite}: {len(plan.cells)} Cells in {len(plan.groups)} Groups on {machine.slug}"
    )
    for group in plan.groups[:SHOWN_GROUPS]:
        terminal.show(_group_table(plan, group, cache))
    if len(plan.groups) > SHOWN_GROUPS:
        terminal.say(f"… and {len(plan.groups) - SHOWN_GROUPS} more Groups")
    show_skipped(plan, terminal)
    show_incomparable(plan, terminal)
    build_s, measure_s = plan.estimate_s(cache)
    spec = plan.suite.spec.measure
    planned = spec.trials == "auto"
    each = (
        f"Trials until ±{spec.target_ci:.1%} is reached, {say_seconds(spec.max_time)} timed at most"
        if planned
        else f"{spec.trials} Trials, {say_seconds(spec.max_time)} timed"
    )
    terminal.say(
        f"{runnable} Cells to run, {len(plan.cells) - runnable} skipped. "
        f"Each: {each}; in each Group the baseline twice."
    )
    terminal.say(
        f"It will take {'up to' if planned else 'about'} {say_seconds(build_s + measure_s)}: "
        f"{say_seconds(build_s)} to build what the cache lacks, {say_seconds(measure_s)} to measure; "
        "and the quality set once for each Cell."
    )
    for problem in plan.problems:
        terminal.error(str(problem))
    if plan.problems:
        return ExitCode.USAGE
    return ExitCode.OK if runnable else ExitCode.NOTHING_MEASURED


def show_skipped(plan: Plan, terminal: Terminal) -> None:
    """Print each reason for which Cells are skipped, and how many."""
    reasons = Counter(p.skip for p in plan.cells.values() if p.skip)
    for reason, count in reasons.most_common():
        terminal.say(f"skipped: {count} Cell{'s' if count > 1 else ''}: {reason}", style="yellow")


def show_incomparable(plan: Plan, terminal: Terminal) -> None:
    """Name the Groups that can be measured without their baseline only: a Run of them has no speed-ups."""
    for group in plan.groups:
        if plan.runnable(group) and (lack := lacks_baseline(plan, group)):
            terminal.warn(f"{group.name}: {lack}, so there will be no speed-ups; `baseline:` picks another")


def lacks_baseline(plan: Plan, group: Group) -> str | None:
    """Why a Group has no baseline to compare with, or None."""
    if group.baseline is None:
        return "its baseline is excluded"
    if plan.cells[group.baseline.cell_id].skip:
        return f"its baseline, {group.baseline.pipeline.name}, is skipped"
    return None


def _group_table(plan: Plan, group: Group, cache: Cache) -> Table:
    target = plan.cells[group.cells[0].cell_id].target
    workload = group.cells[0].workload
    where = f"{target.device}, {target.threads} threads"
    options = workload.model_dump(mode="json", exclude_none=True, exclude={"scenario"})
    said = "".join(f", {name} {value}" for name, value in options.items())
    title = f"{group.name}: {workload.scenario}{said}, {where}"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, title_style="bold")
    for column in ("cell", "technique", "build", "runtime", ""):
        table.add_column(column, overflow="fold")
    for cell in group.cells:
        planned = plan.cells[cell.cell_id]
        steps = [job.stage.step.name for job in planned.jobs if job.stage]
        cached = planned.jobs and cache.get(planned.artifact_key) is not None
        note = planned.skip or ("baseline" if cell == group.baseline else "")
        runtime = cell.pipeline.runtime.name + (
            f" × {cell.pipeline.replicas}" if cell.pipeline.replicas > 1 else ""
        )
        table.add_row(
            cell.cell_id[:8],
            Text(cell.pipeline.name),
            Text(" → ".join(steps) + (" (cached)" if cached else "")),
            runtime,
            Text(note, style="yellow" if planned.skip else "green"),
        )
    return table
