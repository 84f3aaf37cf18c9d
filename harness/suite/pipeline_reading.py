"""Read a technique: check each step against the registries and collect every problem."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.errors import Problem, unknown
from harness.runtimes.registry import RUNTIMES, Runtime, RuntimeConfig
from harness.suite.loading import Document, Key
from harness.suite.pipeline import NO_WAY, Choice, Pipeline
from harness.suite.reporting import checked, short
from harness.techniques.registry import DEPLOYMENTS, TRANSFORMS, Deployment, StepConfig, families
from harness.zoo.source import SOURCES


@dataclass
class _Parts:
    """The steps of a technique that were read so far."""

    transforms: list[Choice] = field(default_factory=list)
    runtime: tuple[Runtime, RuntimeConfig] | None = None
    runtime_seen: bool = False
    deployment: tuple[Deployment, StepConfig] | None = None


class PipelineReader:
    """Checks the techniques of a document against the registries and collects their problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.families = families()
        self.step_names = [*self.families, *DEPLOYMENTS.names(), "runtime"]

    def read(self, name: str, steps: list[dict[str, Any]]) -> Pipeline | None:
        """Return the technique `name` as a Pipeline, or None when it has problems."""
        before = len(self.problems)
        key: Key = ("techniques", name)
        parts = _Parts()
        for i, step in enumerate(steps):
            if len(step) == 1:
                (step_name, settings), *_ = step.items()
                self._step((*key, i, step_name), step_name, settings, parts)
            else:
                text = f"a step has exactly one key, one of {', '.join(sorted(self.step_names))}"
                self._say((*key, i), text)
        if not parts.runtime_seen:
            self._say(key, f"has no runtime; add one of {', '.join(RUNTIMES.names())}")
        if len(self.problems) > before or parts.runtime is None:
            return None
        pipeline = Pipeline(
            name, tuple(parts.transforms), *parts.runtime, *(parts.deployment or (None, None))
        )
        return pipeline if self._possible(key, pipeline) else None

    def _step(self, key: Key, name: str, settings: Any, parts: _Parts) -> None:
        """Check one step and its position, and add it to `parts`."""
        if name == "runtime":
            if parts.runtime_seen:
                self._say(key, "a second runtime; a technique has exactly one")
            parts.runtime_seen = True
            parts.runtime = self._runtime(key, settings) or parts.runtime
        elif name in self.families:
            if parts.runtime_seen:
                self._say(key, f"{name} comes after the runtime; transforms come before it")
            if choice := self._transform(key, name, settings):
                parts.transforms.append(choice)
        elif name in DEPLOYMENTS:
            if not parts.runtime_seen:
                self._say(key, f"{name} comes before the runtime; a deployment comes after it")
            if parts.deployment is not None:
                self._say(key, "a second deployment; a technique has at most one")
            parts.deployment = self._deployment(key, name, settings) or parts.deployment
        else:
            self._say(key, unknown("step", name, self.step_names, TRANSFORMS.broken))

    def _possible(self, key: Key, pipeline: Pipeline) -> bool:
        """Refuse a pipeline that cannot be built from any kind of model."""
        reasons: dict[str, list[str]] = {}  # what is not possible, and the formats from which it is not
        for format in sorted({source.format for source in SOURCES.values()}):
            try:
                pipeline.stages(format)
            except ValueError as error:
                reason, _, made_from = str(error).partition(NO_WAY)
                found = reasons.setdefault(reason, [])
                found += [made_from] if made_from and made_from not in found else []
            else:
                return True
        told = [why + (NO_WAY + " or ".join(formats) if formats else "") for why, formats in reasons.items()]
        self._say(key, f"cannot be built from any model: {'; '.join(told) or 'no model source'}")
        return False

    def _runtime(self, key: Key, settings: Any) -> tuple[Runtime, RuntimeConfig] | None:
        fields = {"name": settings} if isinstance(settings, str) else settings
        if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
            self._say(key, f"must be a name or {{name: …}}; known: {', '.join(RUNTIMES.names())}")
            return None
        name = fields["name"]
        if name not in RUNTIMES:
            self._say(key, RUNTIMES.unknown(name))
            return None
        entry = RUNTIMES.get(name)
        config = self._config(key, entry.config, {k: v for k, v in fields.items() if k != "name"})
        return (entry, config) if config is not None else None

    def _transform(self, key: Key, family_name: str, settings: Any) -> Choice | None:
        family = self.families[family_name]
        fields = {} if settings is None else settings
        if family.selector and isinstance(fields, str):
            fields = {family.selector: fields}
        if not isinstance(fields, dict):
            self._say(
                key, f"found {short(fields)}; allowed: a mapping" + (", or a name" if family.selector else "")
            )
            return None
        variant = fields.get(family.selector, "") if family.selector else ""
        steps = family.variants.get(variant if isinstance(variant, str) else repr(variant))
        if steps is None and family.selector in fields:
            kind = f"{family_name} {family.selector}"
            text = unknown(kind, str(variant), family.variants, TRANSFORMS.broken)
            self._say((*key, str(family.selector)), text)
            return None
        if steps is None:
            allowed = ", ".join(sorted(family.variants))
            self._say(key, f"{family.selector} is missing; allowed: {allowed}")
            return None
        config = self._config(key, steps[0].config, fields)
        return Choice(steps, config) if config is not None else None

    def _deployment(self, key: Key, name: str, settings: Any) -> tuple[Deployment, StepConfig] | None:
        entry = DEPLOYMENTS.get(name)
        config = self._config(key, entry.config, settings if settings is not None else {})
        return (entry, config) if config is not None else None

    def _config(self, key: Key, config: type[Any], fields: Any) -> Any:
        return checked(self.document, key, config, fields, self.problems)

    def _say(self, key: Key, message: str) -> None:
        self.problems.append(self.document.problem(key, message))
