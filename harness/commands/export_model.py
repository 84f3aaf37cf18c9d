"""`harness export-model`: copy a measured model into a folder, with the Python that loads and runs it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands import Quiet, Results, new_app
from harness.commands.explain import chosen_cell, name_of
from harness.commands.report import found_runs
from harness.console import Terminal
from harness.errors import ExitCode, HarnessError

if TYPE_CHECKING:
    from harness.analysis.compare.comparison import Comparison
    from harness.analysis.compare.leaderboard import Board
    from harness.store.reading import Run

app = new_app()
LATEST, WINNER = "latest", "winner"


@app.command()
def export_one(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    run: Annotated[str, typer.Argument(help="Folder of a Run, name of a suite, or latest.")] = LATEST,
    cell: Annotated[
        str, typer.Option("--cell", help="Id or name of a Cell (model/technique), or winner.")
    ] = WINNER,
    modules: Annotated[
        Path | None,
        typer.Option("--modules", help="Folder of the model's own Python code; default: the suite's."),
    ] = None,
    results: Results = Path("results"),
    quiet: Quiet = False,
) -> ExitCode:
    """Copy a measured model into a folder, with the lines of Python that load and run it, and check them."""
    from harness.analysis.compare.leaderboard import boards
    from harness.artifacts.cache import Cache
    from harness.runner.export.cell import export_cell
    from harness.runner.export.texts import SCRIPT

    terminal = Terminal(quiet=quiet)
    with found_runs(None if run == LATEST else run, results) as (runs, _):
        found = runs[-1]
        board, row = chosen(cell, boards(found), found)
        done = export_cell(found, board, row, out, Cache(), _search_path(found, modules))
    terminal.say(f"{name_of(row)} of {found.folder.name}: exported to {out}, {done.checked}.")
    terminal.say(f"Start it with: python {shlex.quote(str(out / SCRIPT))}")
    return ExitCode.OK


def chosen(cell: str, found: list[Board], run: Run) -> tuple[Board, Comparison]:
    """Return the Cell of this name or id with its Group's board. Raises HarnessError."""
    if cell == WINNER:
        winners = [(board, row) for board in found if (row := board.row(board.best))]
        if len(winners) == 1:
            return winners[0]
        if winners:
            names = "; ".join(name_of(row) for _, row in winners)
            raise HarnessError(
                f"{run.folder.name} has a winner in {len(winners)} Groups: --cell one of {names}"
            )
        names = ", ".join(dict.fromkeys(row.technique for board in found for row in board.rows))
        raise HarnessError(f"{run.folder.name} has no winner; choose a Cell with --cell, one of {names}")
    row = chosen_cell(
        cell, [row for board in found for row in [*board.rows, *board.off, *board.left_out]], run
    )
    return next(board for board in found if board.group.group_id == row.group_id), row


def _search_path(run: Run, modules: Path | None) -> tuple[str, ...]:
    """Return the folders of the model's own code: as given, else those that the Run's command named."""
    if modules is not None:
        return (str(modules.resolve()),)
    named = [
        Path(part).parent for part in shlex.split(run.info.command) if Path(part).name == run.info.suite_file
    ]
    return tuple(str(folder.resolve()) for folder in dict.fromkeys([*named, Path()]))
