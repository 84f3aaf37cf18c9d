"""`harness explain`: say why a Cell is as fast as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.compare.comparison import Comparison
from harness.commands import AsJson, Results, new_app, print_json
from harness.commands.report import found_runs
from harness.console import Terminal
from harness.errors import ExitCode, HarnessError, unknown
from harness.store.reading import Run

app = new_app()


@app.command()
def explain_cell(
    cell: Annotated[
        str, typer.Argument(help="Id of a Cell, or its name: model/technique, and more if needed.")
    ],
    run: Annotated[str | None, typer.Argument(help="Folder of a Run, or name of a suite.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> ExitCode:
    """Explain the speed of a Cell: its work, the machine's peaks, and what really runs in low precision."""
    from harness.analysis.compare.leaderboard import boards
    from harness.analysis.words.explain import explain

    with found_runs(run, results) as (runs, _):
        found = [
            (board.baseline, row)
            for board in boards(runs[-1])
            for row in [*board.rows, *board.off, *board.left_out]
        ]
        row = chosen_cell(cell, [row for _, row in found], runs[-1])
        baseline = next(baseline for baseline, one in found if one is row)
        told = _reason(row) if row.status != "measured" else explain(row, baseline, runs[-1].info.peaks)
    if as_json:
        return print_json({"cell_id": row.cell_id, "name": name_of(row), "told": told})
    terminal = Terminal()
    terminal.say(f"{name_of(row)}  ({row.cell_id[:8]})")
    for text in told:
        terminal.say(f"  {text}")
    return ExitCode.OK


def chosen_cell(cell: str, found: Sequence[Comparison], run: Run) -> Comparison:
    """Find one Cell by the start of its id, or by any unique part of model/technique/workload/hardware."""
    fitting = [row for row in found if _fits(cell, row)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f"{name_of(row)} ({row.cell_id[:8]})" for row in fitting[:8])
        raise HarnessError(f"{cell!r} matches {len(fitting)} Cells of {run.folder.name}: {names}")
    raise HarnessError(unknown("Cell", cell, [name_of(row) for row in found]))


def _fits(cell: str, row: Comparison) -> bool:
    wanted = [part.strip() for part in cell.split("/")]
    names = [row.model, row.technique, row.workload, row.hardware]
    return row.cell_id.startswith(cell) or all(part in names for part in wanted)


def name_of(row: Comparison) -> str:
    """Return a Cell's full name."""
    return f"{row.model} / {row.technique} / {row.workload} / {row.hardware}"


def _reason(row: Comparison) -> list[str]:
    stage = f" ({row.stage})" if row.stage else ""
    return [f"It was {row.status}{stage}: {row.reason or 'no reason was recorded'}."]
