"""`harness cache`: show or clear the Artifact cache."""

from __future__ import annotations

import sys

import typer

from harness.analysis.words.numbers import quantity
from harness.artifacts.cache import Cache
from harness.commands import AsJson, new_app, print_json
from harness.errors import ExitCode
from harness.units import say_count

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
    for entry in entries:
        size = quantity(entry.payload_bytes, "bytes")
        sys.stdout.write(f"{entry.key}  {size:>9}  {entry.format:<13} {entry.last_step or 'source model'}\n")
    total = sum(entry.payload_bytes for entry in entries)
    sys.stdout.write(
        f"{say_count(len(entries), 'Artifact')}, {quantity(total, 'bytes')}, in {cache.folder}\n"
    )
    return ExitCode.OK


@app.command("clear")
def clear_cache() -> ExitCode:
    """Remove all Artifacts, and TorchInductor's cache."""
    sys.stdout.write(f"freed {quantity(Cache().clear(), 'bytes')}\n")
    return ExitCode.OK
