"""Checkpoints are verified against their cards; the shipped ones are what they claim to be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo import checkpoints
from harness.zoo.registry import DATASETS, METRICS, MODELS

SUITES = Path(__file__).resolve().parents[2] / "suites"
SHIPPED = ("mnist-cnn", "mnist-mlp", "mnist-resnet", "byte-lm")
FLOORS = {"mnist-mlp": 0.978, "mnist-cnn": 0.992, "mnist-resnet": 0.993, "byte-lm": 2.0}
"""What a card reaches: at least, or at most where less is better."""


@pytest.fixture
def saved(tmp_path):
    path = checkpoints.place("net", tmp_path)
    tensors = {"b": np.arange(3, dtype=np.int64), "a": np.ones((2, 2), np.float32), "n": np.array(7)}
    checkpoints.save(path, tensors, {"model": "net"})
    return path


def test_what_was_saved_comes_back(saved):
    weights = checkpoints.load_weights(saved)
    assert sorted(weights) == ["a", "b", "n"]
    np.testing.assert_array_equal(weights["b"], [0, 1, 2])
    assert weights["n"].shape == ()
    card = checkpoints.read(saved)[1]
    assert card["model"] == "net"
    assert card["bytes"] == saved.stat().st_size
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.json", "net.safetensors"]


def test_the_order_of_the_tensors_does_not_change_the_file(saved):
    before = saved.read_bytes()
    tensors = checkpoints.load_weights(saved)
    checkpoints.save(saved, {name: tensors[name] for name in sorted(tensors, reverse=True)}, {})
    assert saved.read_bytes() == before


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file_is_named_with_the_remedy(saved, suffix):
    saved.with_suffix(suffix).unlink()
    with pytest.raises(DataError, match=rf"net\{suffix}.* missing.*`harness train net`"):
        checkpoints.load_weights(saved)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw[:-1] + b"\x99", lambda raw: b""])
def test_a_damaged_checkpoint_is_refused_with_both_sums(saved, damage):
    expected = hashlib.sha256(saved.read_bytes()).hexdigest()
    saved.write_bytes(damage(saved.read_bytes()))
    found = hashlib.sha256(saved.read_bytes()).hexdigest()
    with pytest.raises(
        DataError, match=f"net.safetensors has sha256 {found} instead of {expected}.*train net"
    ):
        checkpoints.load_weights(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 3}', "\xff"])
def test_a_damaged_card_is_refused(saved, text):
    saved.with_suffix(".json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"net\.json .*`harness train net`"):
        checkpoints.read(saved)[1]


def test_a_file_of_another_format_is_refused_even_if_its_card_matches(saved):
    saved.write_bytes(b"\x80\x02pickle")
    card = {"sha256": hashlib.sha256(saved.read_bytes()).hexdigest()}
    saved.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="not a safetensors file"):
        checkpoints.load_weights(saved)


def test_an_unreadable_checkpoint_is_refused(saved):
    saved.unlink()
    saved.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        checkpoints.read(saved)[1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        checkpoints.save(checkpoints.place("net", tmp_path), {"a": np.ones(1)}, {})


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_card_tells_where_the_weights_come_from(name):
    path = checkpoints.place(name, SUITES)
    card = checkpoints.read(path)[1]
    model = MODELS.get(name)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["model"] == name
    assert card["recipe"] == dataclasses.asdict(model.recipe)
    assert card["dataset_md5"] == DATASETS.get(model.dataset).md5
    assert card["bytes"] < (10_000_000 if name == "byte-lm" else 2_000_000)
    assert card["metric"] == model.metric
    assert METRICS.get(model.metric).higher_is_better is (card["quality"] >= FLOORS[name])
    assert set(card.get("dataset_provenance", {})) == set(DATASETS.get(model.dataset).provenance())
    assert "/" not in path.with_suffix(".json").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_quality_on_the_card_is_reproduced(name):
    torch = pytest.importorskip("torch")
    from harness.formats.torch.module import call_factory, place_tensors
    from harness.zoo.fitting import mean_score

    path, model = checkpoints.place(name, SUITES), MODELS.get(name)
    module = call_factory(model.factory)
    weights = checkpoints.load_weights(path)
    assert all(w.dtype == np.float32 for n, w in weights.items() if not n.endswith("num_batches_tracked"))
    place_tensors(module, {key: torch.from_numpy(array) for key, array in weights.items()})
    assert sum(p.numel() for p in module.parameters()) == checkpoints.read(path)[1]["parameters"]
    found = mean_score(
        module, DATASETS.get(model.dataset).load("test", SUITES / "data"), METRICS.get(model.metric)
    )
    assert found == pytest.approx(checkpoints.read(path)[1]["quality"], abs=3e-4)
