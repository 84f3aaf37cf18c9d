"""A module on disk without pickle: factory, changed attributes, tensors; and what cannot be saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny

from harness.errors import BuildError, DataError
from harness.formats.registry import count_statistics
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module

torch = pytest.importorskip("torch")


def module_of(name, **kwargs):
    torch.manual_seed(3)
    return torch_module.call_factory(f"tiny_factories:{name}", kwargs)


def round_trip(module, name, folder, **kwargs):
    torch_module.save_module(module, folder, f"tiny_factories:{name}", kwargs)
    return torch_module.load_module(folder)


def assert_same_state(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0, atol=0)
        assert other.state_dict()[name].dtype == tensor.dtype


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("dense", {}),
        ("dense", {"width": 5}),
        ("conv", {}),
        ("tied", {}),
        ("buffered", {}),
        ("no_weights", {}),
    ],
)
def test_a_module_comes_back_as_it_was(name, kwargs, tmp_path):
    module = module_of(name, **kwargs)
    loaded = round_trip(module, name, tmp_path, **kwargs)
    assert_same_state(module, loaded)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_nothing_on_disk_is_pickled(tmp_path):
    tiny.source("conv", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["module.json", "weights.safetensors"]
    assert json.loads((tmp_path / "module.json").read_text())["attributes"] == {}
    assert (tmp_path / "weights.safetensors").read_bytes()[8:9] == b"{"


def test_changed_widths_come_back(tmp_path):
    module = module_of("conv", width=16)
    narrow = module_of("conv", width=6)
    for name in ("conv1", "norm", "conv2", "head"):
        setattr(module, name, getattr(narrow, name))
    loaded = round_trip(module, "conv", tmp_path, width=16)
    assert_same_state(narrow, loaded)
    assert (loaded.conv1.out_channels, loaded.norm.num_features, loaded.head.in_features) == (6, 6, 12)
    image = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(loaded(image), narrow.eval()(image))


def test_changed_tuples_come_back_as_tuples(tmp_path):
    module = module_of("conv")
    module.conv2.stride = (1, 2)
    loaded = round_trip(module, "conv", tmp_path)
    assert loaded.conv2.stride == (1, 2)
    image = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(loaded(image), module(image))


def test_tied_weights_stay_one_parameter_and_a_transposed_view_is_not_taken_for_it(tmp_path):
    module = module_of("tied")
    loaded = round_trip(module, "tied", tmp_path)
    assert loaded.first.weight is loaded.second.weight
    x = torch.randn(4, 6)
    torch.testing.assert_close(loaded(x), module(x))


def test_a_changed_structure_is_refused_when_it_is_saved(tmp_path):
    replaced = module_of("dense")
    replaced[1] = torch.nn.GELU()
    with pytest.raises(BuildError, match="module '1' is not what 'tiny_factories:dense' makes"):
        round_trip(replaced, "dense", tmp_path)
    added = module_of("dense")
    added.append(torch.nn.ReLU())
    with pytest.raises(BuildError, match="module '3' is not what"):
        round_trip(added, "dense", tmp_path)
    removed = module_of("dense")
    removed.append(torch.nn.ReLU())
    del removed[3], removed[2]
    with pytest.raises(BuildError, match="module '2' of 'tiny_factories:dense' is missing"):
        round_trip(removed, "dense", tmp_path)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("no_such_module:f", "'no_such_module:f' cannot be imported: .*No module named 'no_such_module'"),
        ("tiny_factories:f", "'tiny_factories:f' cannot be imported: .*no attribute 'f'"),
        ("tiny_factories:wrong_type", r"'tiny_factories:wrong_type' returned dict, not a torch\.nn\.Module"),
        (
            "tiny_factories:raises",
            "'tiny_factories:raises' raised RuntimeError: the weights are on another disk",
        ),
    ],
)
def test_a_factory_that_cannot_be_used_is_told_by_name(reference, says):
    with pytest.raises(DataError, match=says):
        torch_module.call_factory(reference)


def test_a_factory_called_with_arguments_that_it_does_not_take(tmp_path):
    with pytest.raises(DataError, match=r"raised TypeError: .*unexpected keyword argument 'depth'"):
        torch_module.call_factory("tiny_factories:dense", {"depth": 2})


@pytest.mark.parametrize(
    ("text", "says"),
    [("def build(:\n", "SyntaxError"), ("1 / 0\n", "ZeroDivisionError: division by zero")],
)
def test_a_module_that_fails_while_it_is_imported_is_told(tmp_path, monkeypatch, text, says):
    (tmp_path / "fails_on_import.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match=f"'fails_on_import:build' cannot be imported: {says}"):
        torch_module.call_factory("fails_on_import:build")


def test_weights_of_another_model_are_refused():
    module = module_of("dense")
    tensors = dict(module.state_dict())
    with pytest.raises(DataError, match=r"the weights lack 0\.bias"):
        torch_module.place_tensors(module, {k: v for k, v in tensors.items() if k != "0.bias"})
    with pytest.raises(DataError, match="the model has no extra"):
        torch_module.place_tensors(module, {**tensors, "extra": tensors["0.bias"]})
    many = {f"t{i}": tensors["0.bias"] for i in range(9)}
    with pytest.raises(DataError, match="t0, t1, t2, t3, t4 …"):
        torch_module.place_tensors(module, {**tensors, **many})


def test_statistics_are_counted_by_hand(tmp_path):
    artifact = tiny.source("dense", tmp_path)
    statistics = count_statistics("torch-module", artifact.folder, tiny.VECTOR)
    assert statistics["parameters"] == statistics["nonzero_parameters"] == 8 * 16 + 16 + 16 * 4 + 4
    assert statistics["flops_per_sample"] == 2 * (8 * 16 + 16 * 4)


def test_statistics_of_a_convolution_and_of_zeros(tmp_path):
    module = module_of("single_conv")
    with torch.no_grad():
        module.weight[0] = 0
        module.bias.zero_()
    torch_module.save_module(module, tmp_path, "tiny_factories:single_conv", {})
    statistics = count_statistics("torch-module", tmp_path, (TensorSpec(shape=(2, 6, 6)),))
    assert statistics["parameters"] == 4 * 2 * 9 + 4
    assert statistics["nonzero_parameters"] == 3 * 2 * 9
    assert statistics["flops_per_sample"] == 2 * (4 * 6 * 6) * (2 * 9)


def test_tied_parameters_are_counted_once(tmp_path):
    module = module_of("tied")
    torch_module.save_module(module, tmp_path, "tiny_factories:tied", {})
    statistics = count_statistics("torch-module", tmp_path, (TensorSpec(shape=(6,)),))
    assert statistics["parameters"] == 2 * 36
    assert statistics["flops_per_sample"] == 2 * 3 * 36


def test_loading_gives_the_outputs_of_the_module_that_was_saved(tmp_path):
    artifact = tiny.source("conv", tmp_path)
    (inputs,) = tiny.samples(tiny.IMAGE, 3)
    one, two = (tiny.eager(artifact, (inputs,))[0] for _ in range(2))
    np.testing.assert_array_equal(one, two)
