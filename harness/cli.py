"""The command line: one thin function a verb. What is heavy is imported inside."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from harness.errors import ExitCode, HarnessError, SuiteError
from harness.streams import forget_output, have_streams


class Verbs(TyperGroup):
    """All verbs. A broken pipe is handled here: typer would exit with 1, which here means a regression."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line; `--help` prints here."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(_reader_gone())

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            sys.exit(_reader_gone())


app = typer.Typer(
    name="harness",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which acceleration technique makes my model faster, smaller or denser on this machine, "
    "and at what cost in quality?",
)
cache_app = typer.Typer(no_args_is_help=False, help="Show or clear the Artifact cache.")
app.add_typer(cache_app, name="cache", invoke_without_command=True)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every step on a line of its own.")]
Results = Annotated[Path, typer.Option("--results", help="Where Runs are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a machine to read.")]


@app.command()
def run(
    suite: Annotated[Path, typer.Argument(help="A suite file, such as suites/digits.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the Plan and measure nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted Run.")] = False,
    results: Results = Path("results"),
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the report here after the Run.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure a suite on this machine."""
    from harness.commands.run import run_suite

    raise typer.Exit(
        run_suite(suite, dry_run, resume, results, report, quiet=quiet, verbose=verbose, command=_command())
    )


@app.command()
def report(
    suite: Annotated[str | None, typer.Argument(help="A suite's name, or a Run's folder.")] = None,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a summary for a pull request instead.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Figures as PNG files too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make the HTML report of the Runs that are there."""
    from harness.commands.report import report_runs

    raise typer.Exit(report_runs(suite, results, out, markdown=markdown, quiet=quiet, png=png))


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A Run's folder, or a suite's name: its newest Run.")],
    format: Annotated[str | None, typer.Option("--format", help="pytest-benchmark, csv or json.")] = None,
    pytest_benchmark: Annotated[
        bool, typer.Option("--pytest-benchmark", help="The same as --format pytest-benchmark.")
    ] = False,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of printing.")] = None,
) -> None:
    """Print a Run in a format that other programs read."""
    from harness.commands.export import export_run

    chosen = "pytest-benchmark" if pytest_benchmark else format
    raise typer.Exit(export_run(run, results, chosen, out))


@app.command()
def explain(
    cell: Annotated[str, typer.Argument(help="A Cell's id or name: model/technique, and more if needed.")],
    run: Annotated[str | None, typer.Argument(help="A Run's folder, or a suite's name.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Say why a Cell is as fast as it is: work, roofs, what really is in low precision."""
    from harness.commands.explain import explain_cell

    raise typer.Exit(explain_cell(cell, run, results, as_json=as_json))


@app.command("list")
def list_names(
    what: Annotated[str, typer.Argument(help="models, techniques, runtimes, datasets …")] = "all",
    as_json: AsJson = False,
) -> None:
    """Name everything that a suite can name, a line each."""
    from harness.commands.list import list_known

    raise typer.Exit(list_known(what, as_json=as_json))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say whether this machine is fit to measure, and what to change."""
    from harness.commands.doctor import examine_machine

    raise typer.Exit(examine_machine(as_json=as_json))


@app.command()
def noise(
    suite: Annotated[Path, typer.Argument(help="A suite file, such as suites/noise.yaml.")],
    experiments: Annotated[int, typer.Option(min=1, help="Comparisons of each Group's baseline.")] = 20,
    trials: Annotated[
        int | None, typer.Option(min=2, max=1000, help="Fresh processes an arm; default: as the suite says.")
    ] = None,
    seconds: Annotated[
        str | None, typer.Option(help="Timed seconds of an arm at most, such as 30s; default: the suite's.")
    ] = None,
    effects: Annotated[str, typer.Option(help="Slow-downs to inject.")] = "1%,2%,5%",
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the experiments.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare identical code with itself, as it is and slowed down: false alarms, and what is missed."""
    from harness.commands.noise import measure_noise

    raise typer.Exit(
        measure_noise(
            suite,
            experiments=experiments,
            trials=trials,
            seconds=seconds,
            effects=effects,
            out=out,
            as_json=as_json,
            quiet=quiet,
            verbose=verbose,
        )
    )


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A zoo model: harness list models.")],
    suites: Annotated[Path, typer.Option("--suites", help="Folder with data/ and checkpoints/.")] = Path(
        "suites"
    ),
    quiet: Quiet = False,
) -> None:
    """Train a zoo model by its recipe and write its checkpoint anew."""
    from harness.commands.train import train_model

    raise typer.Exit(train_model(model, suites, quiet=quiet))


@app.command()
def schema(
    out: Annotated[Path, typer.Argument(help="File to write.")] = Path("suites/suite.schema.json"),
) -> None:
    """Write the JSON schema of suite files, for editors."""
    from harness.commands.list import write_schema

    raise typer.Exit(write_schema(out))


@cache_app.callback()
def cache(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the Artifact cache."""
    if context.invoked_subcommand is None:
        from harness.commands.cache import show_cache

        raise typer.Exit(show_cache(as_json=as_json))


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove every Artifact from the cache."""
    from harness.commands.cache import clear_cache

    raise typer.Exit(clear_cache())


def _command() -> str:
    return " ".join(["harness", *sys.argv[1:]])


def main() -> None:
    """Run the command line; errors end in one clear message and an exit status."""
    have_streams()
    try:
        status = _status()
    except BrokenPipeError:  # the reader of our errors has gone, too
        status = _reader_gone()
    except OSError:  # our errors cannot be written: the terminal has gone
        status = ExitCode.USAGE
        forget_output()
    sys.exit(status)


def _status() -> int:
    """Do what was asked for; return the exit status."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as ended:  # how typer ends, always
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except HarnessError as error:
        _tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        forget_output()
        place = f" {error.filename}" if error.filename else " the output"
        sys.stderr.write(f"error: cannot use{place}: {error.strerror or error}\n")
        return ExitCode.USAGE
    except Exception as error:
        return _unforeseen(error)
    return ExitCode.OK


def _unforeseen(error: Exception) -> ExitCode:
    """A library that is not there, or a fault of the harness: then, and only then, with a traceback."""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "harness":
        sys.stderr.write(f"error: a package that this needs is missing or broken: {error}\n")
        return ExitCode.USAGE
    traceback.print_exception(error)
    sys.stderr.write("error: this is a fault of the harness, not of what it was given\n")
    return ExitCode.FAULT


def _reader_gone() -> ExitCode:
    """The reader of our output has gone (| head)."""
    forget_output()
    return ExitCode.BROKEN_PIPE


def _tell(error: HarnessError) -> None:
    """Print an error's message; a suite's problems are counted, each on its line."""
    problems = error.problems if isinstance(error, SuiteError) else ()
    if len(problems) > 1:
        sys.stderr.write(f"error: {len(problems)} problems\n" + "".join(f"  {one}\n" for one in problems))
    else:
        sys.stderr.write(f"error: {error}\n")


if __name__ == "__main__":
    main()
