"""`harness report`: write the HTML report, or print a Markdown summary, of the stored Runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness.commands import Quiet, Results, new_app
from harness.console import Terminal
from harness.errors import ExitCode, StoreError, nearest
from harness.store.reading import Run, find, load

app = new_app()


@app.command()
def report_runs(
    suite: Annotated[
        str | None, typer.Argument(help="Name of a suite, or folder of a Run; default: all suites.")
    ] = None,
    results: Results = Path("results"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report; default: reports/SUITE.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a summary of the newest Run for a pull request instead.")
    ] = False,
    quiet: Quiet = False,
    png: Annotated[bool, typer.Option("--png", help="Write the figures as PNG files too.")] = False,
) -> ExitCode:
    """Write the HTML report of the stored Runs."""
    terminal = Terminal(quiet=quiet)
    with found_runs(suite, results) as (runs, faults):
        if markdown:
            from harness.report.markdown import summary

            sys.stdout.write(summary(runs[-1]))
            return ExitCode.OK
        from harness.report.site import write

        sites: dict[Path, list[Run]] = {}
        for run in runs:
            sites.setdefault(out or Path("reports") / run.info.suite, []).append(run)
        for folder in sorted(sites):
            terminal.say(f"Report: {write(sites[folder], folder, faults, png=png)}")
    return ExitCode.OK


@contextmanager
def found_runs(suite: str | None, results: Path) -> Iterator[tuple[list[Run], list[str]]]:
    """Find Runs by name of their suite or by folder. Raises StoreError if there are none."""
    if suite is not None and (Path(suite) / "journal.jsonl").is_file():
        with unfinished(Path(suite)) as run:
            yield [run], []
        return
    if suite is not None and (Path(suite) / "run.json").is_file():
        yield [load(Path(suite))], []
        return
    root = results / suite if suite is not None else results
    runs, faults = find(root) if root.is_dir() else ([], [])
    if not runs:
        what = f"of {suite!r} " if suite is not None else ""
        hint = "; ".join(faults) or _others(suite, results) or "make one with: harness run suites/digits.yaml"
        raise StoreError(f"there is no Run {what}below {results}: {hint}")
    yield runs, faults


def _others(suite: str | None, results: Path) -> str:
    """Name the suites that have Runs, and the one that may be meant; empty if there are none."""
    there = sorted(path.name for path in results.iterdir() if path.is_dir()) if results.is_dir() else []
    if suite is None or not there:
        return ""
    guess = nearest(suite, there)
    return (f"did you mean {guess!r}? " if guess else "") + f"There are Runs of: {', '.join(there)}"


@contextmanager
def unfinished(folder: Path) -> Iterator[Run]:
    """Open an interrupted Run; its tables are written to a temporary folder, so that it can be resumed."""
    from harness.runner.run.finish import as_it_stands
    from harness.runner.run.resume import began
    from harness.store.journal import read_journal

    events = read_journal(folder)
    beginning = began(folder, events)
    if beginning is None:
        raise StoreError(f"{folder} is not the folder of a Run")
    with as_it_stands(folder, beginning, events) as run:
        yield run
