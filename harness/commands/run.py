"""`harness run`: plan, measure, table, report."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness.console import Terminal, Watcher
from harness.errors import ExitCode
from harness.units import say_seconds


def run_suite(
    path: Path,
    dry_run: bool,
    resume: bool,
    results: Path,
    report: Path | None,
    *,
    quiet: bool,
    verbose: bool,
    command: str,
) -> ExitCode:
    """Run a suite file. Returns the exit status; raises HarnessError for bad input."""
    from harness.artifacts.cache import Cache
    from harness.commands.dry_run import show_incomparable, show_plan, show_skipped
    from harness.runner.run.concurrent_runs import others
    from harness.runner.run.finish import finish_run
    from harness.runner.run.run import LocalRun, plan_here
    from harness.suite.validation import read_suite

    terminal = Terminal(quiet=quiet, verbose=verbose)
    suite = read_suite(path)
    plan, machine = plan_here(suite)
    cache = Cache()
    if dry_run:
        return show_plan(plan, machine, cache, terminal)
    if not any(plan.runnable(group) for group in plan.groups):
        show_skipped(plan, terminal)
        terminal.error("no Cell of this suite can run on this machine; the reasons are above")
        return ExitCode.NOTHING_MEASURED
    watcher = Watcher(terminal)
    run = LocalRun(plan, machine, results, cache, watcher, command)
    info = run.resume() if resume else run.start()
    cells = sum(len(plan.runnable(group)) for group in plan.groups)
    skipped = len(plan.cells) - cells
    terminal.say(
        f"{suite.spec.suite}: {cells} Cells in {len(plan.groups)} Groups on {machine.slug}"
        + (f", {skipped} skipped" if skipped else "")
    )
    show_incomparable(plan, terminal)
    if others():
        terminal.warn("another Run is going on on this machine: the figures of both will be disturbed")
    try:
        with terminated_as_interrupt():
            outcome = run.run(info, finish_run)
    except KeyboardInterrupt:
        watcher.close()
        if run.folder.exists():
            terminal.warn(f"interrupted; what was measured is kept in {run.folder}")
            terminal.warn(
                f"go on with: harness run {path} --resume   or look at it: harness report {run.folder}"
            )
        else:
            terminal.warn("interrupted before anything was measured")
        return ExitCode.INTERRUPTED
    finally:
        watcher.close()
    _show(outcome.folder, report, results, terminal)
    return outcome.exit_code


def _show(folder: Path, report: Path | None, results: Path, terminal: Terminal) -> None:
    """Print the table, what went wrong, and where everything is; write the report."""
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
        f"(timed {say_seconds(times.timed_s)}, quality {say_seconds(times.evaluation_s)}, "
        f"builds {say_seconds(times.build_s)}); trust grade {run.info.grade.get('letter', '?')}"
    )
    terminal.say(f"Run: {folder}")
    if report is not None:
        from harness.commands.report import write_report

        page = write_report(run.info.suite, results, report)
        terminal.say(f"Report: {page}")


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, and the end of the terminal, end the Run as Ctrl-C does: what is measured is kept."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    for one, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup wants it
            signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
