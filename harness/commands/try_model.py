"""`harness try`: find out what makes a model better on this machine, within some minutes."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands import Quiet, Results, Verbose, new_app
from harness.commands.run import (
    parsed_time,
    runnable_cells,
    show_interrupted,
    show_plan,
    show_result,
    terminated_as_interrupt,
)
from harness.console import Terminal, Watcher
from harness.errors import ExitCode, HarnessError, SuiteError, unknown
from harness.units import say_seconds

if TYPE_CHECKING:
    from harness.analysis.compare.leaderboard import Board
    from harness.runner.experiment.losers import Contenders
    from harness.runner.run.run import LocalRun
    from harness.store.info import RunInfo
    from harness.store.journal import Event
    from harness.store.reading import Run
    from harness.try_model.candidates import Goal
    from harness.try_model.prepare import Prepared

app = new_app()
BUILD_SHARE = 0.5
"""Share of `--time` after which nothing more is built, so that there is time to measure."""
STATES = {
    "new": "written; edit it as you like",
    "same": "there already, with the same content",
    "changed": "written anew, since the options, the model or the machine changed",
    "edited": "was edited, and is used as it is: --data, --metric, --max-drop, --batch and --goal change "
    "nothing in it; delete it to start anew",
}


@app.command()
def try_one(
    model: Annotated[
        str,
        typer.Argument(help="A model file, a checkpoint's folder, package.module:function, or a zoo name."),
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="Dataset: a name, package.module:function, a file or folder.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Quality metric.")] = None,
    max_drop: Annotated[
        str, typer.Option("--max-drop", help="Allowed quality loss, such as 0.5pt (percentage points).")
    ] = "0.5pt",
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Samples a call.")] = None,
    goal: Annotated[str, typer.Option("--goal", help="latency, throughput, memory or size.")] = "latency",
    limit: Annotated[str, typer.Option("--time", help="Time to build and measure, such as 1m.")] = "5m",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the winner; default: try-NAME.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="The suite file; default: try-NAME.yaml.")
    ] = None,
    results: Results = Path("results"),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Find out what makes a model faster, smaller or denser on this machine."""
    from harness.runner.export.model import refuse_foreign
    from harness.try_model.candidates import GOALS
    from harness.try_model.prepare import Options, prepare

    terminal = Terminal(quiet=quiet, verbose=verbose)
    seconds = parsed_time(limit)
    if goal not in GOALS:
        raise HarnessError(f"--goal: {unknown('goal', goal, GOALS)}")
    if out is not None:
        refuse_foreign(out)
    prepared = prepare(Options(model, GOALS[goal], batch, data, metric, max_drop, suite))
    out = out or Path(prepared.plan.suite.spec.suite)
    refuse_foreign(out)
    _show_found(prepared, terminal)
    if prepared.plan.problems:
        terminal.warn(f"give what is missing in {prepared.path}, then start the same command again")
        raise SuiteError(prepared.plan.problems)
    run = _planned(prepared, GOALS[goal], seconds, results, terminal)
    if run is None:
        terminal.error("nothing of this suite can run on this machine; see the reasons above")
        return ExitCode.NOTHING_MEASURED
    folder = _measured(run, prepared.path, terminal)
    if folder is None:
        return ExitCode.INTERRUPTED
    show_result(folder, Path("reports") / prepared.plan.suite.spec.suite, results, terminal)
    return _show_answer(folder, prepared, GOALS[goal], out, terminal)


def _show_found(prepared: Prepared, terminal: Terminal) -> None:
    """Print what the model is, what is left out, and where the suite is."""
    for line in prepared.about:
        terminal.say(line)
    reasons: dict[str, list[str]] = {}
    for name, reason in prepared.left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        terminal.say(f"left out: {', '.join(names)}: {reason}", style="yellow")
    terminal.say(f"suite: {prepared.path} ({STATES[prepared.state]})")


def _planned(
    prepared: Prepared, goal: Goal, seconds: float, results: Path, terminal: Terminal
) -> LocalRun | None:
    """Fit the Plan into the time and show it; return the Run, or None where no Cell can run."""
    from harness.artifacts.cache import Cache
    from harness.runner.run.run import LocalRun
    from harness.runner.run.time_budget import fit_first_trial

    plan, cache = prepared.plan, Cache()
    if given_up := fit_first_trial(plan, cache, seconds):
        terminal.warn(given_up)
    show_plan(plan, prepared.machine, cache, terminal)
    terminal.say(
        f"Time limit: {say_seconds(seconds)} (--time); it ends earlier if every comparison is decided."
    )
    if not runnable_cells(plan):
        return None
    return LocalRun(
        plan,
        prepared.machine,
        results,
        cache,
        Watcher(terminal),
        shlex.join(["harness", *sys.argv[1:]]),
        seconds,
        given_up,
        BUILD_SHARE * seconds,
        partial(_contenders, goal),
    )


def _contenders(goal: Goal, folder: Path, info: RunInfo, events: list[Event]) -> Contenders:
    from harness.runner.run.finish import as_it_stands
    from harness.try_model.answer import contenders

    with as_it_stands(folder, info, events) as run:
        return contenders(run, goal)


def _measured(run: LocalRun, suite: Path, terminal: Terminal) -> Path | None:
    """Measure; return the Run's folder, or None after Ctrl-C, which keeps what was measured."""
    from harness.runner.run.finish import finish_run

    watcher: Any = run.observer
    info = run.start()
    try:
        with terminated_as_interrupt():
            return run.run(info, finish_run).folder
    except KeyboardInterrupt:
        watcher.close()
        show_interrupted(suite, run.folder, terminal, resumable=not run.given_up)
        return None
    finally:
        watcher.close()


def _show_answer(folder: Path, prepared: Prepared, goal: Goal, out: Path, terminal: Terminal) -> ExitCode:
    """Print the answer to the question, export the winner, and say how to ask again."""
    from harness.analysis.compare.leaderboard import boards
    from harness.store.reading import load
    from harness.try_model.answer import answer, conditions_of, winner

    run = load(folder)
    code = ExitCode.NOTHING_MEASURED
    for board in boards(run):
        terminal.out.print(answer(board, goal).plain(), style="bold", markup=False)
        if not board.rows:
            continue
        terminal.say(conditions_of(board))
        code = min(code, ExitCode.OK if board.baseline else ExitCode.SOME_FAILED)
        if (best := winner(board, goal)) is not None:
            code = max(code, _export(run, board, best.cell_id, prepared, out, terminal))
    if code != ExitCode.NOTHING_MEASURED:
        again = shlex.join(["harness", *sys.argv[1:]])
        built, wall = say_seconds(run.info.times.build_s), say_seconds(run.info.times.wall_s)
        terminal.say(f"To measure again: {again}; built files are reused ({built} of these {wall})")
    return code


def _export(
    run: Run, board: Board, cell_id: str, prepared: Prepared, out: Path, terminal: Terminal
) -> ExitCode:
    """Copy the winner into `out`, with the Python that runs it; a failure is told and takes nothing away."""
    from harness.artifacts.cache import Cache
    from harness.runner.export.cell import export_cell
    from harness.runner.export.texts import SCRIPT

    row = board.row(cell_id)
    assert row is not None  # noqa: S101 (it is the winner)
    where = (str(prepared.plan.suite.folder), str(Path.cwd()))
    try:
        done = export_cell(run, board, row, out, Cache(), where)
    except HarnessError as error:
        terminal.error(f"{row.technique} is not exported: {error}")
        return ExitCode.SOME_FAILED
    terminal.say(f"{row.technique} is in {out}, {done.checked}. It needs no harness:")
    module = Path(SCRIPT).stem
    terminal.say(f"  cd {shlex.quote(str(out))}; python")
    terminal.say(f"  >>> from {module} import load, run")
    terminal.say("  >>> model = load()")
    terminal.say("  >>> outputs = run(model, inputs)  # a list of arrays")
    return ExitCode.OK
