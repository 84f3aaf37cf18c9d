"""`harness list` and `harness schema`: what a suite can name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from harness.errors import ExitCode, UnknownNameError
from harness.registry import broken_plugins
from harness.store.writing import write_atomic

Names = dict[str, str]


def _models() -> Names:
    from harness.zoo.registry import MODELS

    return {name: model.summary for name, model in MODELS.items()}


def _sources() -> Names:
    from harness.zoo.source import SOURCES

    return {key: source.summary for key, source in SOURCES.items()}


def _techniques() -> Names:
    from harness.techniques.registry import DEPLOYMENTS, TRANSFORMS

    steps = {step.name: step.summary for step in TRANSFORMS.values()}
    return {**steps, **{name: entry.summary for name, entry in DEPLOYMENTS.items()}}


def _conversions() -> Names:
    from harness.techniques.registry import CONVERSIONS

    return {name: step.summary for name, step in CONVERSIONS.items()}


def _runtimes() -> Names:
    from harness.runtimes.registry import RUNTIMES

    return {
        name: entry.summary + (f" [{missing}]" if (missing := entry.missing()) else "")
        for name, entry in RUNTIMES.items()
    }


def _datasets() -> Names:
    from harness.zoo.registry import DATASETS

    return {name: dataset.summary for name, dataset in DATASETS.items()}


def _metrics() -> Names:
    from harness.zoo.registry import METRICS

    return {name: metric.summary for name, metric in METRICS.items()}


def _scenarios() -> Names:
    from harness.measure.scenarios.registry import SCENARIOS

    return {
        name: entry.summary + (f" [{missing}]" if (missing := entry.missing()) else "")
        for name, entry in SCENARIOS.items()
    }


def _suites() -> Names:
    from harness.errors import SuiteError
    from harness.suite.loading import read_document

    found = {}
    for path in sorted(Path("suites").glob("*.yaml")):
        try:
            document = read_document(path)
            found[str(path)] = str(document.data.get("description", "")).strip()
        except SuiteError as error:
            found[str(path)] = f"cannot be read: {error.problems[0].message}"
    return found


KINDS: dict[str, Callable[[], Names]] = {
    "models": _models,
    "sources": _sources,
    "techniques": _techniques,
    "conversions": _conversions,
    "runtimes": _runtimes,
    "datasets": _datasets,
    "metrics": _metrics,
    "scenarios": _scenarios,
    "suites": _suites,
}


def list_known(what: str, *, as_json: bool) -> ExitCode:
    """Print the names of one kind, or of all."""
    if what != "all" and what not in KINDS:
        raise UnknownNameError("kind", what, ["all", *KINDS])
    chosen = KINDS if what == "all" else {what: KINDS[what]}
    found = {kind: names() for kind, names in chosen.items()}
    for name, why in sorted(broken_plugins().items()):
        sys.stderr.write(f"note: plug-in {name!r} could not be loaded: {why}\n")
    if as_json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return ExitCode.OK
    width = max((len(name) for names in found.values() for name in names), default=0)
    for i, (kind, names) in enumerate(found.items()):
        if len(found) > 1:
            sys.stdout.write(f"{'' if i == 0 else chr(10)}{kind}\n")
        for name, summary in names.items():
            sys.stdout.write(f"  {name:<{width}}  {summary}\n")
    return ExitCode.OK


def write_schema(out: Path) -> ExitCode:
    """Write the JSON schema of suite files."""
    from harness.suite.json_schema import schema_text

    write_atomic(out, schema_text().encode())
    sys.stdout.write(f"{out}\n")
    return ExitCode.OK
