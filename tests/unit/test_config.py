"""Settings are identified by what differs from their defaults."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from harness.artifacts.cache import digest
from harness.config import Config, changed_fields
from harness.formats.tensors import TensorSpec
from harness.measure.scenarios.registry import SCENARIOS
from harness.runtimes.registry import RUNTIMES
from harness.suite.schema import Hardware, Measure, Quality
from harness.techniques.registry import CONVERSIONS, DEPLOYMENTS, TRANSFORMS
from harness.zoo.source import SOURCES


class Inner(Config):
    samples: int = 512
    method: Literal["a", "b"] = "a"


class Before(Config):
    dtype: str = "int8"
    inner: Inner = Inner()


class NewInner(Inner):
    added: bool = False


class After(Config):
    dtype: str = "int8"
    inner: NewInner = NewInner()
    added: float = Field(default=0.5, gt=0)
    more: tuple[int, ...] = ()


def test_a_new_field_with_a_default_changes_no_content() -> None:
    for fields in ({}, {"dtype": "int4"}, {"inner": {"samples": 8}}):
        assert Before.model_validate(fields).content() == After.model_validate(fields).content()


def test_a_default_that_is_written_out_changes_no_content() -> None:
    assert After.model_validate(After().model_dump(mode="json")).content() == After().content() == {}


def test_a_value_changes_the_content() -> None:
    found = [
        Before.model_validate(fields).content()
        for fields in ({}, {"dtype": "int4"}, {"inner": {"samples": 8}}, {"inner": {"method": "b"}})
    ]
    assert found == [{}, {"dtype": "int4"}, {"inner": {"samples": 8}}, {"inner": {"method": "b"}}]
    assert len(set(map(digest, found))) == 4


def test_a_class_whose_defaults_changed_raises_its_version() -> None:
    class Newer(Inner):
        version: ClassVar[int] = 2

    class Holds(Config):
        inner: Newer = Newer(samples=64)

    assert Newer().content() == {"version": 2}
    assert Newer(samples=8).content() == {"samples": 8, "version": 2}
    assert Holds().content() == {}
    assert Holds(inner=Newer()).content() == {"inner": {"version": 2}}


@pytest.mark.filterwarnings("ignore:Field name")
def test_a_field_cannot_take_the_versions_name() -> None:
    with pytest.raises(TypeError, match="Engine: `version` is the version of the defaults; rename the field"):

        class Engine(Config):
            version: str = "v1"  # type: ignore[assignment,misc]


def test_true_is_not_one() -> None:
    class Either(Config):
        value: bool | int = 1

    assert Either(value=True).content() == {"value": True}
    assert Either(value=1).content() == {}


def test_models_and_collections_are_taken_apart() -> None:
    class Holds(Config):
        inputs: tuple[TensorSpec, ...]
        by_name: dict[str, Inner] = Field(default_factory=dict)

    made = Holds(inputs=(TensorSpec(name="x", shape=(1, 2)),), by_name={"a": Inner(samples=8)})
    assert made.content() == {"inputs": [{"name": "x", "shape": [1, 2]}], "by_name": {"a": {"samples": 8}}}


def every_config() -> list[type[Config]]:
    steps = [*TRANSFORMS.values(), *CONVERSIONS.values(), *DEPLOYMENTS.values(), *RUNTIMES.values()]
    workloads = [entry.workload for entry in SCENARIOS.values()]
    sources = [entry.config for entry in SOURCES.values()]
    return [
        *dict.fromkeys([entry.config for entry in steps] + workloads + sources),
        Hardware,
        Measure,
        Quality,
    ]


REQUIRED = {"scenario": "single-stream", "batch": 1, "qps": 5, "hf": "a", "task": "fill-mask", "onnx": "a"}
REQUIRED |= {"torch": "a:b", "inputs": {"x": [1]}, "zoo": "mnist-mlp", "replicas": 2, "latency_bound": 1.0}
REQUIRED |= {"sparsity": 0.5, "pruning_ratio": 0.5, "dtype": "bf16", "program": "a", "torchscript": "a"}


@pytest.mark.parametrize("config", every_config(), ids=lambda config: config.__name__)
def test_every_config_has_the_same_content_where_its_defaults_are_written_out(config: type[Config]) -> None:
    needed = {name for name, field in config.model_fields.items() if field.is_required() or name == "qps"}
    made = config.model_validate({name: REQUIRED[name] for name in needed})
    assert set(made.content()) <= needed | {"version"}
    dumped = json.loads(json.dumps(made.model_dump(mode="json")))  # as workers are given it
    assert config.model_validate(dumped) == made
    assert config.model_validate(dumped).content() == made.content()
    assert changed_fields(made) == {k: v for k, v in made.content().items() if k != "version"}
