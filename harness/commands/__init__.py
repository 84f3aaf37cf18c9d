"""The verbs of the command line: one module for each verb, imported when that verb is used.

A module has an `app`, which cli.py runs, and functions that return the exit status.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import ExitCode

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print each step on its own line.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the Runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(content: Any) -> ExitCode:
    """Print JSON to the standard output."""
    sys.stdout.write(json.dumps(content, indent=1, default=str) + "\n")
    return ExitCode.OK


def new_app() -> typer.Typer:
    """Return an app for a verb: plain help, no shell completion."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)
