"""The JSON schema for editors: current, and of one mind with the harness."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from suite_texts import content, problems, read

from harness.suite.json_schema import schema_text, suite_schema
from harness.suite.loading import read_document

SUITES = Path(__file__).resolve().parents[2] / "suites"


@pytest.fixture(scope="module")
def validator():
    schema = suite_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_file_is_current():
    written = (SUITES / "suite.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "suites/suite.schema.json is old: run `harness schema`"


def test_every_reference_of_the_schema_leads_somewhere():
    text = schema_text()
    schema = json.loads(text)
    named = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert named <= set(schema["$defs"])


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_projects_suites_are_valid(validator, path):
    validator.validate(read_document(path).data)


TORCH = {"torch": "a.b:c", "inputs": {"x": [3], "ids": {"shape": [5], "dtype": "int64"}}, "kwargs": {"w": 1}}
ORT = {"runtime": "onnxruntime"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"extends": "base.yaml"},
        {"extends": ["a.yaml", "b.yaml"]},
        {"measure": {"target_ci": "2%", "max_time": "20s", "trials": 5}, "quality": {"max_drop": "0.5pt"}},
        {"exclude": [{"model": "mlp", "technique": ["eager", "int*"]}], "include": [{}]},
        {"models": {"t": TORCH, "o": {"onnx": "m.onnx", "metric": "top-1"}}},
        {"techniques": {"t": [{"quantize": "static"}, ORT, {"replicate": {"replicas": 2}}]}},
        {"techniques": {"t": [{"runtime": {"name": "onnxruntime", "graph_optimization": "basic"}}]}},
        {"techniques": {"t": [{"prune": {"structure": "unstructured", "sparsity": 0.5}}, ORT]}},
    ],
)
def test_what_the_harness_takes_the_schema_takes(validator, change):
    validator.validate(content(**change))


REFUSED = [
    {"sute": "x"},
    {"suite": "a/b"},
    {"suite": None},
    {"models": {}},
    {"models": {"m": {"zoo": "mnist-mpl"}}},
    {"models": {"m": {"zoo": "mnist-mlp", "onnx": "x"}}},
    {"models": {"m": {}}},
    {"workloads": {"w": {"scenario": "offlin"}}},
    {"workloads": {"w": {"scenario": "offline", "batch": 0}}},
    {"workloads": {"w": {"scenario": "offline", "batch": "8"}}},
    {"workloads": {"w": {"scenario": "offline", "btch": 1}}},
    {"hardware": {"h": {"threads": 0}}},
    {"hardware": {"h": {"threads": "al"}}},
    {"hardware": {"h": {"device": "gpu"}}},
    {"techniques": {"t": "onnxruntime"}},
    {"techniques": {"t": [{"quantise": "static"}, ORT]}},
    {"techniques": {"t": [{"quantize": "statik"}, ORT]}},
    {"techniques": {"t": [{"quantize": {}}, ORT]}},
    {"techniques": {"t": [{"quantize": {"method": "static", "calibrate": {}}}, ORT]}},
    {"techniques": {"t": [{"quantize": {"method": "static", "calibration": {"sampels": 1}}}, ORT]}},
    {"techniques": {"t": [{"quantize": {"method": "dynamic", "calibration": {"samples": 1}}}, ORT]}},
    {"techniques": {"t": [{"prune": {"structure": "channel", "pruning_ratio": 2}}, ORT]}},
    {"techniques": {"t": [{"runtime": "onnxruntme"}]}},
    {"techniques": {"t": [{"runtime": {"name": "onnxruntime", "threads": 1}}]}},
    {"techniques": {"t": [ORT, {"replicate": {"replicas": 1}}]}},
    {"measure": {"trials": True}},
    {"measure": {"max_tim": 1}},
    {"exclude": {"model": "mlp"}},
    {"exclude": [{"mdel": "mlp"}]},
]


@pytest.mark.parametrize("change", REFUSED, ids=str)
def test_what_the_schema_refuses_the_harness_refuses(validator, change, tmp_path):
    assert not validator.is_valid(content(**change))
    assert problems(tmp_path, content(**change))


def test_the_schema_offers_every_step_runtime_and_zoo_model(validator):
    from harness.runtimes.registry import RUNTIMES
    from harness.techniques.registry import DEPLOYMENTS, families
    from harness.zoo.registry import MODELS

    steps = validator.schema["properties"]["techniques"]["additionalProperties"]["items"]["oneOf"]
    offered = {name for step in steps for name in step["properties"]}
    assert offered == {*families(), *DEPLOYMENTS.names(), "runtime"}
    assert validator.schema["$defs"]["source-zoo"]["properties"]["zoo"]["enum"] == MODELS.names()
    for name in RUNTIMES.names():
        assert f"runtime-{name}" in validator.schema["$defs"]


def test_the_small_suite_is_taken_by_both(validator, tmp_path):
    validator.validate(content())
    assert read(tmp_path, content())
