"""Zoo models without a checkpoint: standard sizes, the same weights each time, outputs worth comparing."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo.registry import DATASETS, METRICS, MODELS
from harness.zoo.source import SOURCES

torch = pytest.importorskip("torch")

PARAMETERS = {"dense-4096": 3 * (4096 * 4096 + 4096), "resnet18": 11_689_512, "mobilenet-v2": 3_504_872}
"""Of the image models: as published with torchvision's."""


@functools.cache
def samples(name: str, count: int = 3) -> torch.Tensor:
    model = MODELS.get(name)
    if model.dataset:
        return torch.from_numpy(
            DATASETS.get(model.dataset).samples("test", Path(), model.inputs).inputs[0][:count]
        )
    return torch.from_numpy(model.inputs[0].random(count, np.random.default_rng(0)))


@pytest.fixture(scope="module", params=PARAMETERS)
def built(request):
    from harness.formats.torch.module import call_factory

    torch.manual_seed(MODELS.get(request.param).seed)
    return request.param, call_factory(MODELS.get(request.param).factory)


def test_it_has_the_standard_number_of_parameters(built):
    name, module = built
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]


def test_outputs_are_finite_and_differ_between_samples(built):
    name, module = built
    with torch.no_grad():
        outputs = module(samples(name)).numpy()
    assert outputs.shape == (3, 4096 if name == "dense-4096" else 1000)
    assert np.isfinite(outputs).all()
    apart = np.std(outputs - outputs.mean(axis=0))
    assert apart > 0.01 * np.std(outputs)


def test_its_metric_compares_with_the_model_as_given(built):
    name, module = built
    metric = METRICS.get(MODELS.get(name).metric)
    assert metric.needs_reference
    with torch.no_grad():
        truth = module(samples(name)).numpy()
    np.testing.assert_allclose(metric.score((truth,), truth), 1.0)
    assert (metric.score((-truth,), truth) < 0.5).all()


@pytest.mark.parametrize("name", ["mobilenet-v2"])
def test_its_files_are_the_same_bytes_each_time_and_follow_from_the_seed(name, tmp_path, monkeypatch):
    from dataclasses import replace

    source = SOURCES.get("zoo")
    config = source.config(zoo=name)
    identities, content = [], []
    for seed in (0, 0, 1):
        monkeypatch.setitem(MODELS._items, name, replace(MODELS.get(name), seed=seed))
        torch.manual_seed(99)  # whatever was drawn before does not matter
        source.build(config, tmp_path, tmp_path)
        content.append((tmp_path / "weights.safetensors").read_bytes())
        identities.append(source.identity(config, tmp_path))
    assert content[0] == content[1] != content[2]
    assert identities[0] == identities[1] != identities[2]


def test_it_cannot_be_trained_and_says_so(tmp_path):
    from harness.zoo.training import train_zoo_model

    with pytest.raises(DataError, match="'resnet18' has no recipe for training"):
        train_zoo_model("resnet18", tmp_path)


def test_random_images_are_seeded_normalized_and_not_shared_between_splits():
    dataset = DATASETS.get("random-images")
    first, again, other = (dataset.load(split, Path()).inputs[0] for split in ("test", "test", "train"))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (64, 3, 224, 224)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first.reshape(64, -1).std(axis=1), 1.0, rtol=1e-3)
    assert not np.array_equal(first[:64], other[:64])


@pytest.mark.parametrize(
    ("key", "config", "random"),
    [
        ("zoo", {"zoo": "resnet18"}, True),
        ("zoo", {"zoo": "gpt2-small-decode"}, True),
        ("zoo", {"zoo": "mnist-cnn"}, False),
        ("zoo", {"zoo": "byte-lm"}, False),
        ("onnx", {"onnx": "model.onnx"}, True),
        ("onnx", {"onnx": "model.onnx", "dataset": "mnist"}, False),
        ("torch", {"torch": "nets:build", "inputs": {"x": [4]}, "dataset": "nets:data"}, False),
    ],
)
def test_a_source_knows_whether_its_evaluation_uses_random_samples(key, config, random):
    source = SOURCES.get(key)
    assert source.random_samples(source.config(**config)) is random
