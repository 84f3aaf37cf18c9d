"""`harness export`: a Run in a format that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.commands.report import found_runs
from harness.errors import ExitCode, HarnessError
from harness.store.writing import write_atomic


def export_run(run: str, results: Path, format: str | None, out: Path | None) -> ExitCode:
    """Print the newest Run of a suite, or the Run in a folder, or write it to `out`. Raises HarnessError."""
    from harness.report.exports.registry import EXPORTS

    if format is None:
        raise HarnessError(f"which format? --format takes {', '.join(EXPORTS.names())}")
    export = EXPORTS.get(format)
    with found_runs(run, results) as (runs, _):
        text = export.convert(runs[-1])
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text.encode())
    return ExitCode.OK
