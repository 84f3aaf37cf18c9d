"""Builds the JSON schema of suite files from the registries, for completion and checks in editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from harness.measure.scenarios.registry import SCENARIOS
from harness.runtimes.registry import RUNTIMES
from harness.suite.schema import Suite
from harness.techniques.registry import DEPLOYMENTS, families
from harness.zoo.registry import MODELS
from harness.zoo.source import SOURCES


def schema_text() -> str:
    """Return the schema as JSON text with a newline at its end."""
    return json.dumps(suite_schema(), indent=1, ensure_ascii=False) + "\n"


def suite_schema() -> dict[str, Any]:
    """Return the schema of a whole suite file."""
    schema = Suite.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    schema["properties"]["models"]["additionalProperties"] = {"oneOf": _sources(definitions)}
    schema["properties"]["workloads"]["additionalProperties"] = {"oneOf": _workloads(definitions)}
    schema["properties"]["techniques"]["additionalProperties"] = {
        "type": "array",
        "items": {"oneOf": _steps(definitions)},
    }
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "suite files that this one extends; its own values win",
    }
    schema["title"] = "A suite of accel-harness"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _sources(definitions: dict[str, Any]) -> list[Any]:
    found = []
    for key, source in SOURCES.items():
        content, reference = _define(definitions, f"source-{key}", source.config, source.summary)
        content.setdefault("required", [])
        if key == "zoo":
            content["properties"]["zoo"]["enum"] = MODELS.names()
        if "inputs" in content["properties"]:  # in a file: a mapping from name to shape
            content["properties"]["inputs"] = {"type": "object", "description": "name: shape of one sample"}
        found.append(reference)
    return found


def _workloads(definitions: dict[str, Any]) -> list[Any]:
    found = []
    for name, entry in SCENARIOS.items():
        content, reference = _define(definitions, f"workload-{name}", entry.workload, entry.summary)
        content["properties"]["scenario"] = {"const": name}
        found.append(reference)
    return found


def _steps(definitions: dict[str, Any]) -> list[Any]:
    steps = []
    for name, family in families().items():
        variants = []
        for key, same in family.variants.items():
            summary = "; ".join(step.summary for step in same)
            own = f"{name}-{key}" if key else name
            content, reference = _define(definitions, own, same[0].config, summary)
            if family.selector:
                content["required"] = sorted({*content.get("required", []), family.selector})
            variants.append(reference)
        short = [{"enum": list(family.variants)}] if family.selector else []
        steps.append(_step(name, {"anyOf": [*variants, *short]}))
    for name, entry in DEPLOYMENTS.items():
        steps.append(_step(name, _define(definitions, name, entry.config)[1]))
    steps.append(_step("runtime", {"anyOf": [{"enum": RUNTIMES.names()}, *_runtimes(definitions)]}))
    return steps


def _runtimes(definitions: dict[str, Any]) -> list[Any]:
    found = []
    for name, entry in RUNTIMES.items():
        content, reference = _define(definitions, f"runtime-{name}", entry.config, entry.summary)
        content.setdefault("properties", {})["name"] = {"const": name}
        content["required"] = [*content.get("required", []), "name"]
        found.append(reference)
    return found


def _step(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: content},
        "required": [name],
        "additionalProperties": False,
    }


def _define(
    definitions: dict[str, Any], name: str, config: type[BaseModel], summary: str | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Add the schema of a config as `name` to `definitions`; return it, and a reference to it."""
    content = config.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(content.pop("$defs", {}))
    definitions[name] = content if summary is None else {**content, "description": summary}
    return definitions[name], {"$ref": f"#/$defs/{name}"}
