"""Check a whole suite file: sections, models, techniques and patterns. Report all problems at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.artifacts.cache import digest
from harness.config import Config
from harness.errors import DataError, Problem, SuiteError, unknown
from harness.measure.scenarios.registry import SCENARIOS, Workload
from harness.suite.loading import Document, Key, read_document
from harness.suite.pipeline import Pipeline
from harness.suite.pipeline_reading import PipelineReader
from harness.suite.reporting import checked
from harness.suite.schema import Suite, name_matches
from harness.suite.sizes import expand_sizes
from harness.zoo.source import SOURCES, ModelIdentity, Source, SourceConfig

NAMING = ("models", "workloads", "hardware", "techniques")
"""Sections whose keys are names chosen by the suite."""


@dataclass(frozen=True)
class Model:
    """A model of the suite: its source, its settings, and the identity of what these name."""

    name: str
    source: Source
    config: SourceConfig
    identity: ModelIdentity
    section: str = ""
    """Its key in the file, which declares several models where `dims` has lists."""

    def content(self) -> dict[str, Any]:
        """Return as JSON what was declared, without settings that equal their defaults."""
        return {"source": self.source.key, **self.config.content()}


@dataclass(frozen=True)
class CheckedSuite:
    """A suite without problems. `document` has the path and the text of its file (not of what it extends)."""

    document: Document
    spec: Suite
    models: dict[str, Model]
    workloads: dict[str, Workload]
    pipelines: dict[str, Pipeline]
    baseline: str

    @property
    def folder(self) -> Path:
        """Return the suite file's folder; paths in the suite are relative to it."""
        return self.document.path.resolve().parent

    @property
    def sha256(self) -> str:
        """Hash the merged and validated suite. Layout, comments and written-out defaults do not count."""
        content = {
            "suite": {**self.spec.content(), "models": None, "workloads": None, "techniques": None},
            "models": {name: model.content() for name, model in self.models.items()},
            "workloads": {name: workload.content() for name, workload in self.workloads.items()},
            "techniques": {name: pipeline.content() for name, pipeline in self.pipelines.items()},
        }
        return hashlib.sha256(repr(content).encode()).hexdigest()


def read_suite(path: Path, text: str | None = None) -> CheckedSuite:
    """Read and check a suite file, or the `text` that it will hold. Raises SuiteError with every problem."""
    document = read_document(path, text)
    problems: list[Problem] = []
    spec = checked(document, (), Suite, document.data, problems)
    reader = PipelineReader(document)
    models: dict[str, Model] = {}
    workloads: dict[str, Workload] = {}
    pipelines: dict[str, Pipeline] = {}
    for name, raw in _mapping(document, "models").items():
        for made, fields in (expand_sizes(name, raw) if isinstance(raw, dict) else {}).items():
            if model := _model(document, name, made, fields, problems):
                models[made] = model
    for name, raw in _mapping(document, "workloads").items():
        if isinstance(raw, dict) and (workload := _workload(document, name, raw, problems)):
            workloads[name] = workload
    for name, steps in _mapping(document, "techniques").items():
        if isinstance(steps, list) and all(isinstance(step, dict) for step in steps):
            pipeline = reader.read(name, steps)
            if pipeline:
                pipelines[name] = pipeline
    problems += reader.problems
    problems += [problem for section in NAMING for problem in _unreadable(document, section)]
    problems += _names(document)
    problems += _duplicates(document, "techniques", pipelines)
    problems += _duplicates(document, "models", models)
    problems += _duplicates(document, "workloads", workloads)
    if spec is not None:
        problems += _duplicates(document, "hardware", spec.hardware)
    if problems or spec is None:
        raise SuiteError(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line or 0)))
    baseline = spec.baseline if spec.baseline is not None else next(iter(spec.techniques))
    return CheckedSuite(document, spec, models, workloads, pipelines, baseline)


def _mapping(document: Document, section: str) -> dict[str, Any]:
    value = document.data.get(section)
    return value if isinstance(value, dict) else {}


def _model(
    document: Document, section: str, name: str, raw: dict[str, Any], problems: list[Problem]
) -> Model | None:
    key = ("models", section)
    sources = [source for source in SOURCES.values() if source.key in raw]
    if len(sources) != 1:
        kinds = ", ".join(SOURCES.names())
        found = ", ".join(map(str, raw)) or "nothing"
        problems.append(document.problem(key, f"takes exactly one of the keys {kinds}; found {found}"))
        return None
    source = sources[0]
    try:
        raw = source.config.sized(raw)
    except ValueError as error:
        problems.append(document.problem((*key, "dims"), str(error)))
        return None
    config = checked(document, key, source.config, raw, problems)
    if config is None:
        return None
    try:
        identity = source.identity(config, document.path.resolve().parent)
    except DataError as error:
        problems.append(document.problem((*key, error.key or source.key), str(error)))
        return None
    return Model(name, source, config, identity, section)


def _workload(document: Document, name: str, raw: dict[str, Any], problems: list[Problem]) -> Workload | None:
    """Check a workload by the options of its scenario."""
    key = ("workloads", name)
    scenario = raw.get("scenario")
    if not isinstance(scenario, str):
        kinds = ", ".join(SCENARIOS.names())
        found = f"found {scenario!r}" if "scenario" in raw else "is missing"
        problems.append(document.problem((*key, "scenario"), f"{found}; allowed: {kinds}"))
        return None
    if scenario not in SCENARIOS:
        problems.append(document.problem((*key, "scenario"), SCENARIOS.unknown(scenario)))
        checked(document, key, Workload, {k: raw[k] for k in Workload.model_fields if k in raw}, problems)
        return None
    return checked(document, key, SCENARIOS.get(scenario).workload, raw, problems)


def _unreadable(document: Document, section: str) -> list[Problem]:
    """Find names that cannot be read, or typed on a command line."""
    return [
        document.problem((section, name), f"{name!r} is not a name: write one line of printable text")
        for name in _mapping(document, section)
        if not name.strip() or not name.isprintable()
    ]


def _names(document: Document) -> list[Problem]:
    """Find names in `baseline`, `exclude` and `include` that are not in the file's own sections."""
    known = {kind: list(_mapping(document, f"{kind}s")) for kind in ("model", "technique", "workload")}
    known["model"] = [
        name
        for section, raw in _mapping(document, "models").items()
        for name in (expand_sizes(section, raw) if isinstance(raw, dict) else (section,))
    ]
    known["hardware"] = list(_mapping(document, "hardware") or Suite.model_fields["hardware"].default)
    problems = []
    baseline = document.data.get("baseline")
    if isinstance(baseline, str) and baseline not in known["technique"]:
        text = unknown("technique", baseline, known["technique"])
        problems.append(document.problem(("baseline",), text))
    for key, kind, pattern in _patterns(document):
        if kind in known and not any(name_matches(pattern, name) for name in known[kind]):
            text = unknown(kind, pattern, known[kind])
            if set("*?") & set(pattern):
                text = f"{pattern!r} matches no {kind}. Known: {', '.join(known[kind])}"
            problems.append(document.problem(key, text))
    return problems


def _patterns(document: Document) -> Iterator[tuple[Key, str, str]]:
    """Yield all name patterns of `exclude` and `include`: position, kind and text of each."""
    for section in ("exclude", "include"):
        patterns = document.data.get(section)
        for i, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            for kind, given in pattern.items() if isinstance(pattern, dict) else ():
                if isinstance(given, str):
                    yield (section, i, kind), kind, given
                for j, name in enumerate(given if isinstance(given, list) else ()):
                    if isinstance(name, str):
                        yield (section, i, kind, j), kind, name


def _duplicates(
    document: Document, section: str, named: Mapping[str, Model | Config | Pipeline]
) -> list[Problem]:
    """Find names with the same content: they would be one Cell twice."""
    first: dict[str, str] = {}
    problems = []
    for name, one in named.items():
        key = digest(one.content())
        if key in first:
            message = f"is the same as {section}.{first[key]}: leave one out"
            problems.append(document.problem((section, name), message))
        first.setdefault(key, name)
    return problems
