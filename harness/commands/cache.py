"""`harness cache`: show or clear the Artifact cache, or remove what is old or too much."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from harness.analysis.words.numbers import quantity
from harness.artifacts.artifact import Artifact
from harness.artifacts.cache import Cache
from harness.commands import AsJson, new_app, print_json
from harness.errors import ExitCode, HarnessError
from harness.runner.run.concurrent_runs import others
from harness.units import parse_bytes, parse_seconds, say_count

app = new_app()


@app.callback(invoke_without_command=True)
def show_cache(context: typer.Context, as_json: AsJson = False) -> ExitCode:
    """Show the cached Artifacts with their sizes, largest first."""
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    cache = Cache()
    entries = cache.entries()
    if as_json:
        names = ("key", "format", "payload_bytes", "last_step")
        artifacts = [{name: getattr(entry, name) for name in names} for entry in entries]
        return print_json({"folder": str(cache.folder), "artifacts": artifacts})
    sys.stdout.write(f"{_listed(entries)}, in {cache.folder}\n")
    return ExitCode.OK


def _listed(entries: list[Artifact]) -> str:
    """Print a line for each Artifact; return their number and size."""
    for entry in entries:
        size = quantity(entry.payload_bytes, "bytes")
        sys.stdout.write(f"{entry.key}  {size:>9}  {entry.format:<13} {entry.last_step or 'source model'}\n")
    total = sum(entry.payload_bytes for entry in entries)
    return f"{say_count(len(entries), 'Artifact')}, {quantity(total, 'bytes')}"


@app.command("gc")
def collect_garbage(
    older_than: Annotated[
        str | None, typer.Option(help="Remove what no Run used for so long, for example 30d.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Then remove what was unused the longest until so much is left: 10GB.")
    ] = None,
) -> ExitCode:
    """Remove Artifacts that were not used for long, or for which there is no room, and print them.

    It removes nothing while a Run is active on this machine.
    """
    if older_than is None and max_size is None:
        raise HarnessError("give --older-than (for example 30d), --max-size (for example 10GB) or both")
    if pids := others():
        raise HarnessError(f"a Run is active (process {', '.join(map(str, pids))}); try again when it ended")
    removed = Cache().collect(
        _parsed("--older-than", parse_seconds, older_than), _parsed("--max-size", parse_bytes, max_size)
    )
    sys.stdout.write(f"removed {_listed(removed)}\n")
    return ExitCode.OK


def _parsed(option: str, parse: Callable[[str], float], text: str | None) -> float:
    try:
        return math.inf if text is None else parse(text)
    except ValueError as error:
        raise HarnessError(f"{option}: {error}") from error


@app.command("clear")
def clear_cache() -> ExitCode:
    """Remove all Artifacts, and TorchInductor's cache."""
    sys.stdout.write(f"freed {quantity(Cache().clear(), 'bytes')}\n")
    return ExitCode.OK
