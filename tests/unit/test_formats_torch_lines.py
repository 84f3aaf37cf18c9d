"""The lines of an exported PyTorch model give the outputs of the Session, whatever a technique changed."""

from __future__ import annotations

import json
import runpy
import sys

import numpy as np
import pytest
import tiny
from safetensors.torch import save_file

from harness.errors import HarnessError
from harness.formats.registry import FORMATS, Format
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.formats.torch.lines import script_lines
from harness.runtimes.registry import RUNTIMES
from harness.runtimes.torch_calls import torch_snippet

torch = pytest.importorskip("torch")

SCRIPT = "from pathlib import Path\nFOLDER = Path(__file__).parent\n"


def outputs_of(text, artifact, inputs):
    """Run the lines as a script in the Artifact's folder, without the harness being named."""
    assert "harness" not in text
    script = artifact.folder / "run_model.py"
    script.write_text(SCRIPT + text)
    lines = runpy.run_path(str(script))
    return lines["run"](lines["load"](), list(inputs))


def assert_same_as_the_session(artifact, specs, batch=2):
    kind, target = RUNTIMES.get("torch-eager"), Target(batch=batch, threads=1)
    inputs = tiny.samples(specs, batch)
    expected = kind.open_session(kind.config(), artifact, target).run(inputs)
    found = outputs_of(kind.snippet(kind.config(), artifact, target), artifact, inputs)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["conv", "tied_head", "two_outputs", "named", "two_inputs", "no_weights"])
def test_a_module_as_given(name, tmp_path):
    assert_same_as_the_session(tiny.source(name, tmp_path / "module"), tiny.INPUTS[name])


def test_weights_that_are_tied_stay_one_parameter(tmp_path):
    artifact = tiny.source("tied_head", tmp_path / "module")
    kind = RUNTIMES.get("torch-eager")
    text = kind.snippet(kind.config(), artifact, Target(batch=1, threads=1))
    (artifact.folder / "lines.py").write_text(SCRIPT + text)
    module = runpy.run_path(str(artifact.folder / "lines.py"))["load"]()
    assert len(list(module.parameters())) == len(list(torch_module.load_module(artifact.folder).parameters()))


@pytest.mark.parametrize(
    "execution",
    [{"dtype": "bfloat16"}, {"layout": "channels-last"}, {"layout": "channels-last", "dtype": "bfloat16"}],
    ids=str,
)
def test_a_module_in_another_dtype_and_memory_layout(execution, tmp_path):
    source = tiny.source("conv", tmp_path / "source")
    module = torch_module.load_module(source.folder)
    if "dtype" in execution:
        module.to(getattr(torch, execution["dtype"]))
    (tmp_path / "changed").mkdir()
    torch_module.save_changed(module, source.folder, tmp_path / "changed", **execution)
    changed = type(source)("changed", torch_module.FORMAT, tmp_path / "changed")
    assert_same_as_the_session(changed, tiny.INPUTS["conv"])


def test_a_pruned_module_has_its_new_width(tmp_path):
    specs = tiny.INPUTS["conv"]
    source = tiny.source("conv", tmp_path / "source")
    pruned, _ = tiny.build(
        "prune/channel",
        source,
        tmp_path / "pruned",
        tiny.Context(specs),
        pruning_ratio=0.5,
        finetune={"epochs": 0},
    )
    assert_same_as_the_session(pruned, specs)


def test_an_archive_of_torchscript(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout()).train()
    torch.jit.script(module).save(str(tmp_path / "model.pt"))
    artifact = tiny.Artifact("script", "torch-script", tmp_path)
    text = torch_snippet(script_lines(tmp_path, "cpu"), "load_module()", Target(batch=1, threads=1))
    inputs = np.ones((1, 3), np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(inputs)).numpy()
    np.testing.assert_array_equal(outputs_of(text, artifact, [inputs])[0], expected)


def test_outputs_in_a_tree_come_one_after_the_other_without_none():
    text = torch_snippet("import torch\n", "None", Target(batch=1, threads=1))
    space: dict = {}
    exec(text, space)
    one, two, three, four = (torch.full((1,), float(i)) for i in range(4))
    tree = {"b": one, "a": [None, (two, {"x": three})], "c": {"hidden": None, "last": four}, "number": 4}
    assert [leaf.item() for leaf in space["leaves"](tree)] == [0, 1, 2, 3, 4]
    halves = torch.ones(2, dtype=torch.bfloat16)
    assert space["run"](lambda: halves, [])[0].dtype == np.float32


@pytest.mark.parametrize("more", [{"folded": True}, {"execution": {"copied": [0]}}, None], ids=str)
def test_a_module_that_is_more_than_a_factory_and_weights_is_loaded_by_the_harness(more, tmp_path):
    kind, artifact = RUNTIMES.get("torch-eager"), tiny.source("linear", tmp_path / "module")
    target, place = Target(batch=2, threads=1), artifact.folder / torch_module.DESCRIPTION
    saved, extra = place.read_text(), artifact.folder / "outside.safetensors"
    if more is None:
        extra.write_bytes(b"")
    else:
        place.write_text(json.dumps({**json.loads(saved), **more}))
    text = kind.snippet(kind.config(), artifact, target)
    extra.unlink(missing_ok=True)
    place.write_text(saved)
    assert "from harness.formats.torch import" in text
    script = artifact.folder / "run_model.py"
    script.write_text(SCRIPT + text)
    lines, inputs = runpy.run_path(str(script)), tiny.samples(tiny.INPUTS["linear"], 2)
    (expected,) = tiny.eager(artifact, inputs)
    np.testing.assert_array_equal(lines["run"](lines["load"](), inputs)[0], expected)


def test_what_a_factory_draws_at_random_is_drawn_with_the_seed_that_was_saved(tmp_path):
    artifact = tiny.source("linear", tmp_path / "module")
    place = artifact.folder / torch_module.DESCRIPTION
    place.write_text(json.dumps({**json.loads(place.read_text()), "seed": 5}))
    kind = RUNTIMES.get("torch-eager")
    text = kind.snippet(kind.config(), artifact, Target(batch=1, threads=1))
    (artifact.folder / "lines.py").write_text(SCRIPT + text)
    lines, drawn = runpy.run_path(str(artifact.folder / "lines.py")), []
    build = lines["build_model"]
    lines["load_module"].__globals__["build_model"] = lambda **_: (drawn.append(torch.rand(1)), build())[1]
    before = torch.random.get_rng_state()
    lines["load_module"]()
    torch.testing.assert_close(torch.random.get_rng_state(), before, rtol=0, atol=0)
    torch.manual_seed(5)
    assert drawn == [torch.rand(1)]


def test_a_format_without_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS._items, "odd", Format("odd", ""))
    kind = RUNTIMES.get("torch-eager")
    with pytest.raises(HarnessError, match="the format odd has no lines"):
        kind.snippet(kind.config(), tiny.Artifact("odd", "odd", tmp_path), Target(batch=1))


def test_a_factory_in_a_file_is_found_below_the_search_path(tmp_path, monkeypatch):
    (tmp_path / "repository" / "nets").mkdir(parents=True)
    (tmp_path / "repository" / "nets" / "sizes_of_mine.py").write_text("WIDTH = 3\n")
    (tmp_path / "repository" / "nets" / "small_of_mine.py").write_text(
        "import torch\nfrom sizes_of_mine import WIDTH\ndef build():\n    return torch.nn.Linear(WIDTH, 2)\n"
    )
    artifact = tiny.Artifact("file", torch_module.FORMAT, tmp_path)
    module = torch.nn.Linear(3, 2)
    tensors, aliases = torch_module.unique_tensors(module)
    save_file(tensors, str(tmp_path / torch_module.WEIGHTS))
    saved = {"factory": "nets/small_of_mine.py:build", "kwargs": {}, "attributes": {}, "aliases": aliases}
    (tmp_path / torch_module.DESCRIPTION).write_text(json.dumps(saved))
    kind = RUNTIMES.get("torch-eager")
    text = kind.snippet(kind.config(), artifact, Target(batch=1, threads=1))
    with pytest.raises(SystemExit, match=r"PYTHONPATH.*nets/small_of_mine\.py"):
        outputs_of(text, artifact, [])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "repository")])
    with torch.no_grad():
        expected = module(torch.ones(1, 3)).numpy()
    np.testing.assert_array_equal(outputs_of(text, artifact, [np.ones((1, 3), np.float32)])[0], expected)


def test_a_factory_that_compiles_its_module_gives_it_as_measured_without(tmp_path, monkeypatch):
    artifact = tiny.source("linear", tmp_path / "module")
    kind = RUNTIMES.get("torch-eager")
    text = kind.snippet(kind.config(), artifact, Target(batch=1, threads=1))
    (artifact.folder / "lines.py").write_text(SCRIPT + text)
    lines = runpy.run_path(str(artifact.folder / "lines.py"))
    build, load = lines["build_model"], lines["load_module"]
    load.__globals__["build_model"] = lambda **_: torch.compile(build())
    assert type(load()) is type(build())
