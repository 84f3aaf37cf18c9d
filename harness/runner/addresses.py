"""The addresses of Artifacts: hashes of all that their content depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.cache import digest
from harness.artifacts.code import code_of
from harness.formats.target import Target
from harness.packages import versions_of
from harness.runner.workers.evaluation_truth import asked_of, reference_runtime, write_evaluation_data
from harness.suite.pipeline import Stage
from harness.suite.validation import Model
from harness.zoo.identities import code_identity, training_version
from harness.zoo.registry import METRICS

SOURCE_PACKAGES = ("torch", "onnx", "safetensors")
"""Distributions that build the model as given, whatever its source."""


def source_address(model: Model) -> str:
    """Hash what the model as given depends on; its dataset does not count."""
    identity, packages = model.identity, (*SOURCE_PACKAGES, *model.source.needs(model.config)[0])
    made_of = [identity.code, identity.weights, identity.libraries]
    return digest(["source", model.content(), made_of, model.source.code, versions_of(packages)])


def step_address(
    parent: str, model: Model, stage: Stage, target: Target, resolved: dict[str, Any], machine: str, seed: int
) -> str:
    """Hash what a build step's result depends on: its source, settings, code, libraries and target.

    `resolved` are the values of settings that depend on the machine; `machine` is its id, which counts only
    where the step specializes on it.
    """
    step = stage.step
    aspects: dict[str, Any] = {
        "batch": target.batch,
        "device": target.device,
        "threads": target.threads,
        "machine": machine,
    }
    values = {name: aspects[name] for name in step.specialize_on} | resolved
    content = [parent, stage.content(), step.code, versions_of(step.packages), values, seed]
    if step.needs_training_data(stage.config):
        content += [model.identity.data, training_version(model.source.dataset(model.config))]
    return digest(content)


def data_address(source: str, model: Model, seed: int, folder: Path) -> str:
    """Hash what the evaluation data of a model depend on; `source` is the address of the model as given.

    `folder` is the suite's, where a user's metric may lie.
    """
    asked = asked_of(model.source, model.config)
    known = METRICS.get(asked.metric) if asked.metric and asked.metric in METRICS else None
    runtime = reference_runtime(model.source.format)
    packages = ("numpy", *(runtime.packages if runtime else ()))
    code = code_of(write_evaluation_data, model.source.data, runtime.open_session if runtime else None)
    made_of = ["data", source, model.identity.data, asked.metric, asked.output, asked.class_axis, seed]
    if known is not None:
        code = digest([code, code_of(type(known).score)])
    elif asked.metric is not None:
        code = digest([code, code_identity(asked.metric, folder).digest])
    return digest([*made_of, versions_of(packages), code])
