"""`harness report`: the HTML page, or a Markdown summary, of the Runs that are there."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.console import Terminal
from harness.errors import ExitCode, StoreError
from harness.store.reading import Run, find, load


def report_runs(
    suite: str | None, results: Path, out: Path | None, *, markdown: bool, quiet: bool
) -> ExitCode:
    """Write the report of one suite, of all suites, or of one Run's folder."""
    terminal = Terminal(quiet=quiet)
    if markdown:
        from harness.report.markdown import summary

        sys.stdout.write(summary(_runs(suite, results)[0][-1]))
        return ExitCode.OK
    runs, _ = _runs(suite, results)
    for name in sorted({run.info.suite for run in runs}):
        page = write_report(name, results, out or Path("reports") / name, suite)
        terminal.say(f"Report: {page}")
    return ExitCode.OK


def write_report(name: str, results: Path, out: Path, given: str | None = None) -> Path:
    """Write the report of the suite `name` into `out`; return its page."""
    from harness.report.site import write

    runs, faults = _runs(given or name, results)
    return write([run for run in runs if run.info.suite == name], out, faults)


def _runs(suite: str | None, results: Path) -> tuple[list[Run], list[str]]:
    """Find Runs by suite name or by folder. Raises StoreError when there are none."""
    if suite is not None and (Path(suite) / "journal.jsonl").is_file():
        return [load_unfinished(Path(suite))], []
    if suite is not None and (Path(suite) / "run.json").is_file():
        return [load(Path(suite))], []
    root = results / suite if suite is not None else results
    runs, faults = find(root) if root.is_dir() else ([], [])
    if not runs:
        what = f"of {suite!r} " if suite is not None else ""
        hint = "; ".join(faults) or "make one with: harness run suites/digits.yaml"
        raise StoreError(f"there is no Run {what}below {results}: {hint}")
    return runs, faults


def load_unfinished(folder: Path) -> Run:
    """Make the tables of an interrupted Run in a folder beside it, and open that; the Run can be resumed."""
    import tempfile

    from harness.runner.finishing import complete
    from harness.store.info import RunInfo
    from harness.store.journal import read_journal
    from harness.store.writing import write_run

    events = read_journal(folder)
    if not events or events[0]["event"] != "run":
        raise StoreError(f"{folder} holds no Run")
    info, tables = complete(RunInfo.model_validate(events[0]["info"]), events, "interrupted")
    place = Path(tempfile.mkdtemp(prefix="harness-report-"))
    write_run(place, info, tables.by_name())
    return load(place)
