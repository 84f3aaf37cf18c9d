"""A suite file checked whole: sections, models, techniques and patterns; all problems at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import DataError, Problem, SuiteError, unknown
from harness.suite.loading import Document, read_document
from harness.suite.pipeline import Pipeline, PipelineReader
from harness.suite.reporting import validation_problems
from harness.suite.schema import Suite
from harness.zoo.registry import DATASETS, METRICS, MODELS
from harness.zoo.source import SOURCES, Source, SourceConfig


@dataclass(frozen=True)
class Model:
    """A model of the suite: where it comes from, and what changes when it does."""

    name: str
    source: Source
    config: SourceConfig
    identity: dict[str, Any]

    def content(self) -> dict[str, Any]:
        """As declared, defaults filled in."""
        return {"source": self.source.key, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class CheckedSuite:
    """A suite without problems."""

    path: Path
    text: str
    spec: Suite
    models: dict[str, Model]
    pipelines: dict[str, Pipeline]
    baseline: str

    @property
    def folder(self) -> Path:
        """The suite file's folder: what its paths are relative to."""
        return self.path.resolve().parent

    @property
    def sha256(self) -> str:
        """Hash of the suite as merged and validated, so that layout and comments do not count."""
        content = {
            "suite": self.spec.model_dump_json(),
            "models": {name: model.content() for name, model in self.models.items()},
            "techniques": {name: pipeline.content() for name, pipeline in self.pipelines.items()},
        }
        return hashlib.sha256(repr(content).encode()).hexdigest()


def read_suite(path: Path) -> CheckedSuite:
    """Read and check a suite file. Raises SuiteError that carries every problem."""
    document = read_document(path)
    problems: list[Problem] = []
    spec = _sections(document, problems)
    reader = PipelineReader(document)
    models: dict[str, Model] = {}
    pipelines: dict[str, Pipeline] = {}
    for name, raw in _mapping(document, "models").items():
        if isinstance(raw, dict) and (model := _model(document, name, raw, problems)):
            models[name] = model
    for name, steps in _mapping(document, "techniques").items():
        if isinstance(steps, list) and all(isinstance(step, dict) for step in steps):
            pipeline = reader.read(name, steps)
            if pipeline:
                pipelines[name] = pipeline
    problems += reader.problems
    problems += _twins(document, "techniques", {n: p.content() for n, p in pipelines.items()})
    problems += _twins(document, "models", {n: m.content() for n, m in models.items()})
    if spec is not None:
        problems += _twins(document, "workloads", {n: w.model_dump() for n, w in spec.workloads.items()})
        problems += _twins(document, "hardware", {n: h.model_dump() for n, h in spec.hardware.items()})
        if spec.baseline is not None and spec.baseline not in spec.techniques:
            text = unknown("technique", spec.baseline, spec.techniques)
            problems.append(document.problem(("baseline",), text))
    if problems or spec is None:
        raise SuiteError(sorted(set(problems), key=lambda p: (p.file, p.line or 0)))
    baseline = spec.baseline or next(iter(spec.techniques))
    return CheckedSuite(path, document.text, spec, models, pipelines, baseline)


def _sections(document: Document, problems: list[Problem]) -> Suite | None:
    try:
        return Suite.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(document, (), error, Suite)
        return None


def _mapping(document: Document, section: str) -> dict[str, Any]:
    value = document.data.get(section)
    return value if isinstance(value, dict) else {}


def _model(document: Document, name: str, raw: dict[str, Any], problems: list[Problem]) -> Model | None:
    key = ("models", name)
    sources = [source for source in SOURCES.values() if source.key in raw]
    if len(sources) != 1:
        kinds = ", ".join(SOURCES.names())
        found = ", ".join(map(str, raw)) or "nothing"
        problems.append(document.problem(key, f"takes exactly one of the keys {kinds}; found {found}"))
        return None
    source = sources[0]
    try:
        config = source.config.model_validate(raw)
    except ValidationError as error:
        problems += validation_problems(document, key, error, source.config)
        return None
    faults = _unknown_names(raw, source.key)
    problems += [document.problem((*key, where), text) for where, text in faults]
    if faults:
        return None
    try:
        identity = source.identity(config, document.path.resolve().parent)
    except DataError as error:
        problems.append(document.problem((*key, source.key), str(error)))
        return None
    return Model(name, source, config, identity)


def _unknown_names(raw: dict[str, Any], source: str) -> list[tuple[str, str]]:
    """Names inside a model that no registry knows."""
    faults = []
    if source == "zoo" and raw["zoo"] not in MODELS:
        faults.append(("zoo", unknown("model", str(raw["zoo"]), MODELS.names())))
    dataset, metric = raw.get("dataset"), raw.get("metric")
    if isinstance(dataset, str) and ":" not in dataset and dataset not in DATASETS:
        faults.append(("dataset", unknown("dataset", dataset, DATASETS.names())))
    if isinstance(metric, str) and metric not in METRICS:
        faults.append(("metric", unknown("metric", metric, METRICS.names())))
    return faults


def _twins(document: Document, section: str, contents: dict[str, Any]) -> list[Problem]:
    """Two names for the same content would be one Cell twice."""
    first: dict[str, str] = {}
    problems = []
    for name, content in contents.items():
        text = repr(content)
        if text in first:
            message = f"is the same as {section}.{first[text]}: leave one out"
            problems.append(document.problem((section, name), message))
        first.setdefault(text, name)
    return problems
