"""`harness export`: print a Run in a format that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands import Results, new_app
from harness.commands.report import found_runs
from harness.errors import ExitCode, HarnessError
from harness.store.writing import write_atomic

app = new_app()


@app.command()
def export_run(
    run: Annotated[str, typer.Argument(help="Folder of a Run, or name of a suite: its newest Run.")],
    results: Results = Path("results"),
    format: Annotated[str | None, typer.Option("--format", help="pytest-benchmark, csv or json.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: print.")] = None,
    pytest_benchmark: Annotated[
        bool, typer.Option("--pytest-benchmark", help="The same as --format pytest-benchmark.")
    ] = False,
) -> ExitCode:
    """Print a Run in a format that other programs read, or write it to a file."""
    from harness.report.exports.registry import EXPORTS

    if pytest_benchmark:
        format = "pytest-benchmark"
    if format is None:
        raise HarnessError(f"--format is missing; allowed: {', '.join(EXPORTS.names())}")
    export = EXPORTS.get(format)
    with found_runs(run, results) as (runs, _):
        text = export.convert(runs[-1])
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text.encode())
    return ExitCode.OK
