"""`harness list`: print the names that a suite can use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.commands import AsJson, new_app, print_json
from harness.errors import ExitCode, SuiteError, UnknownNameError
from harness.measure.scenarios.registry import SCENARIOS
from harness.registry import Registry, broken_plugins
from harness.runtimes.registry import RUNTIMES
from harness.suite.loading import read_document
from harness.techniques.registry import CONVERSIONS, DEPLOYMENTS, TRANSFORMS
from harness.zoo.data_sources.registry import DATA_SOURCES
from harness.zoo.registry import DATASETS, METRICS, MODELS
from harness.zoo.source import SOURCES

app = new_app()
Names = dict[str, str]


def _names(*registries: Registry[Any]) -> Names:
    """Return the summary of each name, with the reason where this machine lacks a package for it."""
    entries = [pair for registry in registries for pair in registry.items()]
    missing = {name: entry.missing() for name, entry in entries if hasattr(entry, "missing")}
    return {
        name: entry.summary + (f" [{missing[name]}]" if missing.get(name) else "") for name, entry in entries
    }


def _suites() -> Names:
    found = {}
    for path in sorted(Path("suites").glob("*.yaml")):
        try:
            document = read_document(path)
            found[str(path)] = str(document.data.get("description", "")).strip()
        except SuiteError as error:
            found[str(path)] = f"cannot be read: {error.problems[0].message}"
    return found


KINDS: dict[str, Callable[[], Names]] = {
    "models": partial(_names, MODELS),
    "sources": partial(_names, SOURCES),
    "techniques": partial(_names, TRANSFORMS, DEPLOYMENTS),
    "conversions": partial(_names, CONVERSIONS),
    "runtimes": partial(_names, RUNTIMES),
    "datasets": partial(_names, DATASETS),
    "data": partial(_names, DATA_SOURCES),
    "metrics": partial(_names, METRICS),
    "scenarios": partial(_names, SCENARIOS),
    "suites": _suites,
}


@app.command()
def list_known(
    what: Annotated[str, typer.Argument(help=f"all, {', '.join(KINDS)}.")] = "all",
    as_json: AsJson = False,
) -> ExitCode:
    """List models, techniques, runtimes and everything else that a suite can name."""
    if what != "all" and what not in KINDS:
        raise UnknownNameError("kind", what, ["all", *KINDS])
    chosen = KINDS if what == "all" else {what: KINDS[what]}
    found = {kind: names() for kind, names in chosen.items()}
    for name, why in sorted(broken_plugins().items()):
        sys.stderr.write(f"note: plug-in {name!r} could not be loaded: {why}\n")
    if as_json:
        return print_json(found)
    width = max((len(name) for names in found.values() for name in names), default=0)
    for i, (kind, names) in enumerate(found.items()):
        if len(found) > 1:
            sys.stdout.write(f"{'' if i == 0 else chr(10)}{kind}\n")
        for name, summary in names.items():
            sys.stdout.write(f"  {name:<{width}}  {summary}\n")
    return ExitCode.OK
