"""The command line: finds the module of a verb, runs it, and turns errors into messages and exit statuses."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from harness.errors import ExitCode, HarnessError, SuiteError

VERBS = {
    "try": "Find out what makes a model faster, smaller or denser on this machine.",
    "run": "Measure a suite on this machine.",
    "report": "Write the HTML report of the stored Runs.",
    "export": "Print a Run in a format that other programs read.",
    "export-model": "Copy a measured model into a folder, with the Python that loads and runs it.",
    "explain": "Explain the speed of a Cell.",
    "list": "List models, techniques, runtimes and everything else that a suite can name.",
    "doctor": "Check whether this machine is fit to measure.",
    "noise": "Count false alarms on identical code, and the slow-downs that are detected.",
    "train": "Train a zoo model by its recipe.",
    "schema": "Write the JSON schema of suite files.",
    "cache": "Show or clear the Artifact cache.",
}
"""Each verb with its line in the help. Its module in harness/commands is imported only when it is used."""
MODULES = {"try": "try_model"}
"""Modules whose names differ from the verb's, because the verb is a keyword of Python."""


class Verbs(TyperGroup):
    """All verbs. It handles broken pipes, because typer would exit with 1, which means a regression."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": dict.fromkeys(VERBS)})

    def get_command(self, _context: Any, name: str) -> Any:
        """Import the module of a verb and return its command, or None for an unknown verb."""
        if name not in VERBS:
            return None
        module = MODULES.get(name, name.replace("-", "_"))
        return typer.main.get_command(importlib.import_module(f"harness.commands.{module}").app)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Print the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line; this is where `--help` prints."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(_broken_pipe())

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; what it returns is the exit status."""
        try:
            status = super().invoke(ctx)
        except BrokenPipeError:
            sys.exit(_broken_pipe())
        raise typer.Exit(status or ExitCode.OK)


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(cls=Verbs, no_args_is_help=True)
def harness() -> None:
    """Measure which acceleration technique makes a model faster, smaller or denser on this machine.

    It also measures what each technique costs in quality.
    """


def main() -> None:
    """Run the command line and exit; an error ends in one clear message and its exit status."""
    _open_streams()
    try:
        status = _status()
    except BrokenPipeError:  # nobody reads our error messages either
        status = _broken_pipe()
    except OSError:  # our error messages cannot be written: the terminal is gone
        status = ExitCode.USAGE
        _discard_output()
    sys.exit(status)


def _status() -> int:
    """Run the command line and return its exit status."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as ended:  # typer always ends like this
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except HarnessError as error:
        _print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except OSError as error:
        _discard_output()
        sys.stderr.write(f"error: {_unusable(error)}\n")
        return ExitCode.USAGE
    except Exception as error:
        return _unexpected(error)
    return ExitCode.OK


def _unusable(error: OSError) -> str:
    """Name the place that cannot be used, and a remedy where there is one."""
    try:
        Path.cwd()
    except OSError:
        return "the working folder does not exist any more: change to another folder and start again"
    if isinstance(error, FileNotFoundError) and not error.filename:  # of tempfile.gettempdir
        return f"{error.strerror or error}: set TMPDIR to a folder that can be written"
    return f"cannot use {error.filename or 'the output'}: {error.strerror or error}"


def _unexpected(error: Exception) -> ExitCode:
    """Report a missing library, or a bug of the harness; only a bug is shown with its traceback."""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "harness":
        sys.stderr.write(f"error: a required package is missing or broken: {error}\n")
        return ExitCode.USAGE
    traceback.print_exception(error)
    sys.stderr.write("error: this is a bug in harness, not a fault of your input\n")
    return ExitCode.FAULT


def _broken_pipe() -> ExitCode:
    """Stop writing, because the reader of our output is gone (``| head``)."""
    _discard_output()
    return ExitCode.BROKEN_PIPE


def _print_error(error: HarnessError) -> None:
    """Print an error's message; several problems of a suite are counted, each on its own line."""
    problems = error.problems if isinstance(error, SuiteError) else ()
    if len(problems) > 1:
        sys.stderr.write(f"error: {len(problems)} problems\n" + "".join(f"  {one}\n" for one in problems))
    else:
        sys.stderr.write(f"error: {error}\n")


def _open_streams() -> None:
    """Open the streams that the shell closed (``>&-``), and replace characters that the encoding lacks.

    Without this, the next file or pipe that is opened would get the number of a closed stdout.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Discard the output that is not written yet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())


if __name__ == "__main__":
    main()
