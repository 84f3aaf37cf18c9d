"""`harness run`: plan and measure a suite, print the table, write the report."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from harness.commands import Quiet, Results, Verbose, new_app
from harness.console import Terminal, Watcher
from harness.errors import ExitCode
from harness.units import say_seconds

app = new_app()


@app.command()
def run_suite(
    suite: Annotated[Path, typer.Argument(help="A suite file, such as suites/digits.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the Plan and measure nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted Run.")] = False,
    results: Results = Path("results"),
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report that is written after the Run.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Measure a suite on this machine."""
    from harness.artifacts.cache import Cache
    from harness.commands.dry_run import show_incomparable, show_plan, show_skipped
    from harness.runner.run.concurrent_runs import others
    from harness.runner.run.finish import finish_run
    from harness.runner.run.run import LocalRun, plan_here
    from harness.suite.validation import read_suite

    terminal = Terminal(quiet=quiet, verbose=verbose)
    checked = read_suite(suite)
    plan, machine = plan_here(checked)
    cache = Cache()
    if dry_run:
        return show_plan(plan, machine, cache, terminal)
    if not any(plan.runnable(group) for group in plan.groups):
        show_skipped(plan, terminal)
        terminal.error("no Cell of this suite can run on this machine; see the reasons above")
        return ExitCode.NOTHING_MEASURED
    watcher = Watcher(terminal)
    run = LocalRun(plan, machine, results, cache, watcher, " ".join(["harness", *sys.argv[1:]]))
    info = run.resume() if resume else run.start()
    cells = sum(len(plan.runnable(group)) for group in plan.groups)
    skipped = len(plan.cells) - cells
    terminal.say(
        f"{checked.spec.suite}: {cells} Cells in {len(plan.groups)} Groups on {machine.slug}"
        + (f", {skipped} skipped" if skipped else "")
    )
    show_incomparable(plan, terminal)
    if others():
        terminal.warn(
            "another Run is in progress on this machine: each disturbs the measurements of the other"
        )
    try:
        with terminated_as_interrupt():
            outcome = run.run(info, finish_run)
    except KeyboardInterrupt:
        watcher.close()
        if run.folder.exists():
            terminal.warn(f"interrupted; the measurements so far are in {run.folder}")
            terminal.warn(
                f"to continue: harness run {suite} --resume; to see them: harness report {run.folder}"
            )
        else:
            terminal.warn("interrupted before anything was measured")
        return ExitCode.INTERRUPTED
    finally:
        watcher.close()
    _show(outcome.folder, report, results, terminal)
    return outcome.exit_code


def _show(folder: Path, report: Path | None, results: Path, terminal: Terminal) -> None:
    """Print the table, the failures and the folder; write the report."""
    from harness.report.terminal import table
    from harness.store.reading import load

    run = load(folder)
    terminal.say()
    terminal.show(table(run))
    for row in (row for row in run.records if row.status == "failed" and row.arm != "control"):
        names = f"{row.model} / {row.technique} / {row.workload} / {row.hardware}"
        log = f"; log: {folder / row.log}" if row.log else ""
        terminal.warn(f"{names} failed ({row.stage}): {row.reason}{log}")
    for notice in run.info.notices:
        terminal.warn(notice)
    times = run.info.times
    terminal.say(
        f"measured {times.measured_share:.0%} of {say_seconds(times.wall_s)} "
        f"(timed calls {say_seconds(times.timed_s)}, evaluation {say_seconds(times.evaluation_s)}, "
        f"builds {say_seconds(times.build_s)}); trust grade {run.info.grade.get('letter', '?')}"
    )
    terminal.say(f"Run: {folder}")
    if report is not None:
        from harness.commands.report import write_report

        page = write_report(run.info.suite, results, report)
        terminal.say(f"Report: {page}")


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
