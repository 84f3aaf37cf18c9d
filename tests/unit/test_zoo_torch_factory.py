"""A user's function: its inputs, weights and file, and what is said before anything is built."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import DataError
from harness.formats import user_function
from harness.formats.torch.module import load_module
from harness.runner.workers.channel import located
from harness.zoo.source import SOURCES

torch = pytest.importorskip("torch")
SOURCE = SOURCES.get("torch")
NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, wide=4):
        super().__init__()
        self.table, self.head = torch.nn.Embedding(50, wide), torch.nn.Linear(wide, 3)
    def forward(self, tokens, scale):
        return {"logits": self.head(self.table(tokens).mean(1) * scale), "state": [self.table(tokens)]}
def build(): return Net()
"""
TENSORS = "(torch.full((7, 5), 49), torch.ones(7, 1))"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite's folder on the search path; modules that a test imports are forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(user_function, "_folders", [])
    return tmp_path


def inspect(folder: Path, **settings: Any) -> dict[str, Any]:
    assert SOURCE.inspect is not None
    return SOURCE.inspect(SOURCE.config.model_validate(settings), folder)


@pytest.mark.parametrize(
    "offer",
    [
        f"example_inputs = {TENSORS}",
        f"def example_inputs(): return {TENSORS}",
        'example_inputs = {"scale": torch.ones(7, 1), "tokens": torch.full((7, 5), 49)}',
        f"Net.example_input_array = {TENSORS}",
    ],
)
def test_inputs_are_those_that_the_model_or_its_file_offers(folder: Path, offer: str) -> None:
    (folder / "offers.py").write_text(NET + offer)
    found = inspect(folder, torch="offers:build")
    assert [(i["name"], i["shape"], i["dtype"]) for i in found["inputs"]] == [
        ("tokens", [5], "int64"),
        ("scale", [1], "float32"),
    ]
    assert found["inputs"][0]["high"] == 50  # one more than the largest id in the example
    assert found["outputs"] == [
        {"name": "logits", "dtype": "float32", "dims": [None, 3]},
        {"name": "state.0", "dtype": "float32", "dims": [None, 5, 4]},
    ]
    assert found["parameters"] == 50 * 4 + 4 * 3 + 3
    assert found["operators"] == {"Embedding": 1, "Linear": 1}
    assert json.loads(json.dumps(found)) == found


def test_inputs_of_the_suite_win_and_without_any_they_are_asked_for(folder: Path) -> None:
    (folder / "asked.py").write_text(NET)
    with pytest.raises(DataError) as told:
        inspect(folder, torch="asked:build")
    assert "such as inputs: {tokens: [3, 224, 224], scale: [3, 224, 224]}" in str(told.value)
    given = {"tokens": {"shape": [2], "dtype": "int64", "high": 50}, "scale": [1]}
    assert inspect(folder, torch="asked:build", inputs=given)["inputs"][0]["shape"] == [2]


def test_a_model_that_fails_on_its_inputs_is_refused_with_its_own_line(folder: Path) -> None:
    (folder / "fails.py").write_text(NET)
    given = {"tokens": {"shape": [2], "dtype": "int64", "high": 99}, "scale": [8]}
    with pytest.raises(DataError) as told:
        inspect(folder, torch="fails:build", inputs=given)
    assert str(told.value).startswith(
        "fails:build: the model fails on random inputs (tokens [2] int64, scale [8] float32): IndexError: "
    )
    cause = told.value.__cause__  # the worker puts its line in front
    assert cause is not None and cause.__cause__ is not None
    assert located(cause.__cause__).startswith("fails.py:8: ")


def test_a_model_with_one_batch_only_is_not_refused(folder: Path) -> None:
    body = "def forward(self, x):\n        return x.reshape(8, 4)\n"
    text = f"import torch\nclass Net(torch.nn.Module):\n    {body}def build(): return Net()\n"
    (folder / "eight.py").write_text(text)
    found = inspect(folder, torch="eight:build", inputs={"x": [4]})
    assert found["outputs"] == [{"name": "output", "dtype": "float32", "dims": [None, 4]}]


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_weights_are_safetensors_or_a_state_dict(folder: Path, kind: str) -> None:
    from safetensors.torch import save_file

    (folder / "weighed.py").write_text("import torch\ndef build(): return torch.nn.Linear(2, 1)\n")
    state = {"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([1.0])}
    path = folder / f"w.{kind}"
    save_file(state, str(path)) if kind == "safetensors" else torch.save(state, path)
    config = SOURCE.config.model_validate(
        {"torch": "weighed:build", "inputs": {"x": [2]}, "weights": path.name}
    )
    SOURCE.identity(config, folder)
    (folder / "out").mkdir()
    SOURCE.build(config, folder, folder / "out")
    assert load_module(folder / "out")(torch.tensor([[1.0, 1.0]])).item() == 6


def test_weights_of_another_kind_are_refused_before_anything_is_loaded(folder: Path) -> None:
    (folder / "refused.py").write_text("import torch\ndef build(): return torch.nn.Linear(2, 1)\n")
    config = SOURCE.config.model_validate({"torch": "refused:build", "inputs": {"x": [2]}, "weights": "w.pt"})
    torch.save(torch.nn.Linear(2, 1), folder / "w.pt")
    with pytest.raises(
        DataError, match=r"w\.pt is a pickle with objects of torch\.nn\.modules\.linear\.Linear"
    ):
        SOURCE.identity(config, folder)
    torch.save({"epoch": 1, "model": {"weight": torch.ones(1, 2)}}, folder / "w.pt")
    SOURCE.identity(config, folder)
    with pytest.raises(DataError, match=r"w\.pt holds epoch, model; save only the model's state_dict\(\)"):
        inspect(folder, torch="refused:build", inputs={"x": [2]}, weights="w.pt")


def test_repositories_of_torch_hub_do_not_share_modules_of_the_same_name(folder: Path) -> None:
    for name, size in (("one", 1), ("two", 2)):
        (folder / name).mkdir()
        (folder / name / "parts.py").write_text(f"SIZE = {size}\n")
        (folder / name / "hubconf.py").write_text(
            "dependencies = ['torch']\nimport torch\nfrom parts import SIZE\n"
            "def net():\n    return torch.nn.Linear(3, SIZE)\n"
        )
    for name, size in (("one", 1), ("two", 2), ("one", 1)):
        given = {"torch": f"{name}/hubconf.py:net", "inputs": {"x": [3]}}
        config = SOURCE.config.model_validate(given)
        out = folder / f"out-{name}"
        out.mkdir(exist_ok=True)
        SOURCE.build(config, folder, out)
        assert load_module(out)(torch.ones(1, 3)).shape == (1, size)
    before = SOURCE.identity(config, folder)
    (folder / "one" / "parts.py").write_text("SIZE = 4\n")
    assert SOURCE.identity(config, folder) != before


def test_the_size_of_an_image_of_timm_is_known(folder: Path) -> None:
    (folder / "timmed.py").write_text(
        "import torch\ndef build():\n    net = torch.nn.Conv2d(3, 2, 1)\n"
        "    net.default_cfg = {'input_size': (3, 6, 7)}\n    return net\n"
    )
    assert inspect(folder, torch="timmed:build")["inputs"][0]["shape"] == [3, 6, 7]


def test_data_of_a_model_that_offers_its_inputs_fit_them(folder: Path) -> None:
    (folder / "data_for.py").write_text(f"{NET}example_inputs = {TENSORS}")
    config = SOURCE.config.model_validate({"torch": "data_for:build", "dataset": "random-tokens"})
    data = SOURCE.data(config, folder, "test")
    assert data is not None
    assert [array.shape[1:] for array in data.inputs] == [(5,), (1,)]
    assert data.inputs[0].dtype == np.int64
