"""`harness run`: plan and measure a suite; with --dry-run, print the Plan and the estimated time."""

from __future__ import annotations

import math
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.commands import Quiet, Results, Verbose, new_app
from harness.console import Terminal, Watcher, grid
from harness.errors import ExitCode, HarnessError
from harness.units import parse_seconds, say_count, say_seconds

if TYPE_CHECKING:
    from harness.artifacts.cache import Cache
    from harness.devices.fingerprint import Machine
    from harness.runner.plan import Plan
    from harness.suite.matrix import Group

app = new_app()
MAX_GROUPS = 40
"""Groups that are printed; the others are only counted."""


@app.command()
def run_suite(
    suite: Annotated[Path, typer.Argument(help="A suite file, such as suites/digits.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the Plan and measure nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted Run.")] = False,
    limit: Annotated[
        str | None,
        typer.Option("--time", help="Fit the Run into this time, such as 10m; say what it gives up."),
    ] = None,
    results: Results = Path("results"),
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report that is written after the Run.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Measure a suite on this machine."""
    from harness.artifacts.cache import Cache
    from harness.runner.run.finish import finish_run
    from harness.runner.run.run import LocalRun, plan_here
    from harness.suite.validation import read_suite

    terminal = Terminal(quiet=quiet, verbose=verbose)
    seconds = _seconds(limit, resume=resume)
    checked = read_suite(suite)
    plan, machine = plan_here(checked)
    cache = Cache()
    given_up = ""
    if seconds < math.inf:
        from harness.runner.run.time_budget import fit

        if given_up := fit(plan, cache, seconds):
            terminal.warn(given_up)
    if dry_run:
        return show_plan(plan, machine, cache, terminal)
    if not runnable_cells(plan):
        _show_skipped(plan, terminal)
        terminal.error("no Cell of this suite can run on this machine; see the reasons above")
        return ExitCode.NOTHING_MEASURED
    watcher = Watcher(terminal)
    command = shlex.join(["harness", *sys.argv[1:]])
    run = LocalRun(plan, machine, results, cache, watcher, command, seconds, given_up)
    info = run.resume() if resume else run.start()
    _show_size(plan, machine, terminal)
    _show_incomparable(plan, terminal)
    try:
        with terminated_as_interrupt():
            outcome = run.run(info, finish_run)
    except KeyboardInterrupt:
        watcher.close()
        show_interrupted(suite, run.folder, terminal, resumable=not given_up)
        return ExitCode.INTERRUPTED
    finally:
        watcher.close()
    show_result(outcome.folder, report, results, terminal)
    return outcome.exit_code


def _seconds(limit: str | None, *, resume: bool) -> float:
    """Return the seconds of `--time`. Raises HarnessError for what is no time, and with `--resume`."""
    if limit is None:
        return math.inf
    if resume:
        raise HarnessError("--time needs a new Run, not --resume")
    return parsed_time(limit)


def parsed_time(text: str) -> float:
    """Return the seconds of an option `--time`. Raises HarnessError for what is no time, or not above 0."""
    try:
        seconds = float(parse_seconds(text))
    except ValueError as error:
        raise HarnessError(f"--time: {error}") from error
    if seconds <= 0:
        raise HarnessError("--time needs a time above 0")
    return seconds


def show_interrupted(suite: Path, folder: Path, terminal: Terminal, *, resumable: bool) -> None:
    """Say where the measurements of an interrupted Run are, and how to go on."""
    if folder.exists():
        terminal.warn(f"interrupted; the measurements so far are in {folder}")
        resume, report = shlex.join(["run", str(suite), "--resume"]), shlex.join(["report", str(folder)])
        go_on = f"to continue: harness {resume}; " if resumable else ""
        terminal.warn(f"{go_on}to see them: harness {report}")
    else:
        terminal.warn("interrupted before anything was measured")


def show_result(folder: Path, report: Path | None, results: Path, terminal: Terminal) -> None:
    """Print the table, the failures and the folder; write the report."""
    from harness.analysis.words.causes import causes
    from harness.analysis.words.headline import time_spent
    from harness.report.terminal import Tables
    from harness.store.reading import load

    run = load(folder)
    terminal.say()
    terminal.show(tables := Tables(run))
    for cause in causes(tables.boards):
        log = f"; log: {folder / cause.log}" if cause.log else ""
        if cause.state == "skipped":
            terminal.say(cause.line(), style="yellow")
        else:
            terminal.warn(f"{cause.line()}{log}")
    for notice in run.info.notices:
        terminal.warn(notice)
    times = run.info.times
    terminal.say(
        f"measured {times.measured_share:.0%} of {say_seconds(times.wall_s)} "
        f"(timed calls {say_seconds(times.timed_s)}, evaluation {say_seconds(times.evaluation_s)}, "
        f"builds {say_seconds(times.build_s)}); trust grade {run.info.grade.get('letter', '?')}"
    )
    if terminal.verbose and (spent := time_spent(run.info)):
        table = grid("Where the time went", ("", "time", "share"), justify="right")
        table.columns[0].justify = "left"
        for row in spent:
            table.add_row(*row)
        terminal.show(table)
    terminal.say(f"Run: {folder}")
    if report is not None:
        from harness.commands.report import report_runs

        report_runs(run.info.suite, results, report, quiet=terminal.quiet)


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM and the end of the terminal as Ctrl-C, so that the measurements are kept."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    for one, handler in before.items():
        if handler != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def runnable_cells(plan: Plan) -> int:
    """Return the number of Cells that can run."""
    return sum(len(plan.runnable(group)) for group in plan.groups)


def _show_size(plan: Plan, machine: Machine, terminal: Terminal) -> None:
    cells, groups = say_count(len(plan.cells), "Cell"), say_count(len(plan.groups), "Group")
    skipped = len(plan.cells) - runnable_cells(plan)
    end = f", {skipped} skipped" if skipped else ""
    terminal.say(f"{plan.suite.spec.suite}: {cells} in {groups} on {machine.slug}{end}")


def show_plan(plan: Plan, machine: Machine, cache: Cache, terminal: Terminal) -> ExitCode:
    """Print the Plan. Return USAGE if a model cannot be used, NOTHING_MEASURED if no Cell can run."""
    _show_size(plan, machine, terminal)
    for group in plan.groups[:MAX_GROUPS]:
        terminal.show(_group_table(plan, group, cache))
    if len(plan.groups) > MAX_GROUPS:
        terminal.say(f"… and {len(plan.groups) - MAX_GROUPS} more")
    _show_skipped(plan, terminal)
    _show_incomparable(plan, terminal)
    build_s, measure_s = plan.estimate_s(cache)
    spec = plan.suite.spec.measure
    planned = spec.trials == "auto"
    each = (
        f"Trials until the interval is ±{spec.target_ci:.1%}, at most {say_seconds(spec.max_time)} timed"
        if planned
        else f"{spec.trials} Trials, {say_seconds(spec.max_time)} timed"
    )
    runnable = runnable_cells(plan)
    terminal.say(
        f"{say_count(runnable, 'Cell')} to run, {len(plan.cells) - runnable} skipped. "
        f"Each: {each}. Each Group measures its baseline twice."
    )
    terminal.say(
        f"Estimated time: {'up to' if planned else 'about'} {say_seconds(build_s + measure_s)} "
        f"({say_seconds(build_s)} to build what is not cached, {say_seconds(measure_s)} to measure), "
        "plus one evaluation of each Cell."
    )
    for group in plan.groups:
        workload = group.cells[0].workload
        if plan.runnable(group) and (warning := workload.warning(spec.block_time, plan.timed_s(group))):
            terminal.warn(f"{group.name}: {warning}")
    for name, inspection in plan.inspections.items():
        for notice in inspection.get("notices", ()):
            terminal.warn(f"{name}: {notice}")
    for problem in plan.problems:
        terminal.error(str(problem))
    if plan.problems:
        return ExitCode.USAGE
    return ExitCode.OK if runnable else ExitCode.NOTHING_MEASURED


def _show_skipped(plan: Plan, terminal: Terminal) -> None:
    """Print each reason for which Cells are skipped, with their names."""
    from harness.analysis.words.causes import folded

    reasons: dict[str, list[tuple[str, ...]]] = {}
    for planned in plan.cells.values():
        if planned.skip:
            cell = planned.cell
            names = (cell.model.name, cell.pipeline.name, cell.workload_name, cell.hardware_name)
            reasons.setdefault(planned.skip, []).append(names)
    for reason, cells in sorted(reasons.items(), key=lambda found: -len(found[1])):
        terminal.say(f"{say_count(len(cells), 'Cell')} skipped: {reason} — {folded(cells)}", style="yellow")


def _show_incomparable(plan: Plan, terminal: Terminal) -> None:
    """Warn of Groups that have no speed-ups, because their baseline is not measured."""
    from harness.analysis.words.causes import folded

    reasons: dict[str, list[tuple[str, ...]]] = {}
    for group in plan.groups:
        if plan.runnable(group) and (reason := _missing_baseline(plan, group)):
            cell = group.cells[0]
            names = (cell.model.name, cell.workload_name, cell.hardware_name)
            reasons.setdefault(reason, []).append(names)
    for reason, groups in reasons.items():
        count = say_count(len(groups), "Group")
        terminal.warn(
            f"{count} without speed-ups: {reason}; choose another with `baseline:` — {folded(groups)}"
        )


def _missing_baseline(plan: Plan, group: Group) -> str | None:
    """Return the reason why a Group has no baseline, or None if it has one."""
    if group.baseline is None:
        return "the baseline is excluded"
    if plan.cells[group.baseline.cell_id].skip:
        return f"the baseline, {group.baseline.pipeline.name}, is skipped"
    return None


def _group_table(plan: Plan, group: Group, cache: Cache) -> Table:
    target = plan.cells[group.cells[0].cell_id].target
    workload = group.cells[0].workload
    where = f"{target.device}, {say_count(target.threads, 'thread')}"
    options = workload.model_dump(mode="json", exclude_none=True, exclude={"scenario"})
    shown = "".join(f", {name} {value}" for name, value in options.items())
    title = f"{group.name}: {workload.scenario}{shown}, {where}"
    table = grid(title, ("cell", "technique", "build", "runtime", ""))
    for cell in group.cells:
        planned = plan.cells[cell.cell_id]
        steps = [job.stage.step.name for job in planned.jobs if job.stage]
        cached = planned.jobs and cache.get(planned.artifact_key) is not None
        note = "skipped" if planned.skip else "baseline" if cell == group.baseline else ""
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
