"""Channel pruning of networks whose channels depend on one another: what stays computes what it computed."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from layers import run

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.outputs import leaves
from harness.formats.torch import module as torch_module

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
from torch import nn  # noqa: E402

IMAGE = (tiny.TensorSpec(name="image", shape=(3, 8, 8)),)
INPUTS = {
    "encoder": (tiny.TensorSpec(name="x", shape=(6, 32)),),
    "reshaped": tiny.VECTOR,
    "tied": tiny.VECTOR,
}


def prune(name, folder, ratio=0.5, round_to=2, **config):
    """Return the network as given and pruned, and the report."""
    torch.manual_seed(0)
    factory = f"coupled_nets:{name}"
    (folder / "given").mkdir(parents=True)
    module = torch_module.call_factory(factory, {})
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # running statistics that are not those of a fresh one
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 2)
    torch_module.save_module(module, folder / "given", factory, {})
    given = Artifact("given", torch_module.FORMAT, folder / "given")
    config = {"pruning_ratio": ratio, "round_to": round_to, "finetune": {"epochs": 0}, **config}
    context = tiny.Context(INPUTS.get(name, IMAGE))
    result, about = tiny.build("prune/channel", given, folder / "pruned", context, **config)
    return given, result, about


def silenced(given, pruned):
    """The network as given, in which the channels that pruning removed are zero.

    A channel that stays is found by its bias, of which no two are alike; norms behind it are silenced, too.
    """
    whole, narrow = (torch_module.load_module(one.folder) for one in (given, pruned))
    gone = None
    with torch.no_grad():
        for part, left in zip(whole.modules(), narrow.modules(), strict=True):
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                gone = ~torch.isin(part.bias, left.bias)
                assert int((~gone).sum()) == len(left.bias)
            if isinstance(part, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
                part.weight = nn.Parameter(part.weight.clone())  # which another layer may read
                part.weight[gone] = part.bias[gone] = 0
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean[gone] = 0
    return whole


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("detector", {"body.0": 8, "body.3": 8, "boxes": 4, "scores": 12}),
        ("twins", {"twin": 8, "mix": 8, "head": 5}),
        ("separable", {"0": 8, "2": 8, "4": 12, "8": 5}),
        ("tied", {"0": 4, "2": 4, "4": 4}),
    ],
)
def test_the_channels_that_stay_compute_what_they_computed(name, left, tmp_path):
    """Heads behind activations keep their widths; a layer called twice and a bare parameter shrink alike."""
    given, pruned, about = prune(name, tmp_path)
    assert about["channels_left"] == left
    (x,) = tiny.samples(INPUTS.get(name, IMAGE), 3)
    expected = leaves(silenced(given, pruned)(torch.from_numpy(x)))
    for one, other in zip(expected, tiny.eager(pruned, (x,)), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-4, atol=1e-5)


def test_a_pruned_network_computes_the_same_in_onnx_runtime(tmp_path):
    _, pruned, _ = prune("twins", tmp_path)
    exported, _ = tiny.build("export-onnx", pruned, tmp_path / "onnx", tiny.Context(IMAGE))
    (x,) = tiny.samples(IMAGE, 3)
    np.testing.assert_allclose(run(exported, x), tiny.eager(pruned, (x,))[0], rtol=1e-4, atol=1e-5)


def test_torchs_attention_keeps_its_width_and_the_layers_around_it_shrink(tmp_path):
    _, pruned, about = prune("encoder", tmp_path)
    widths = {"0.self_attn.out_proj": 32, "0.linear1": 32, "0.linear2": 32, "2": 4}
    assert about["channels_left"] == widths
    assert tiny.eager(pruned, tiny.samples(INPUTS["encoder"], 3))[0].shape == (3, 4)


def test_layers_under_exclude_keep_their_widths(tmp_path):
    _, _, about = prune("twins", tmp_path, exclude=["twin"])
    assert about["channels_left"] == {"twin": 16, "mix": 8, "head": 5}


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("grouped", {}, r"Torch-Pruning failed at layer 5: IndexError: .*; name it under exclude"),
        (
            "grouped",
            {"exclude": ["5"]},
            r"relies on widths .* at layer 5: .*; name the layer before it under",
        ),
        ("reshaped", {"ratio": 0.1, "round_to": 1}, r"relies on widths .* at layer second: RuntimeError: "),
        ("twins", {"exclude": ["twim"]}, r"'twim' is the name of no layer or node; did you mean 'twin'\?"),
    ],
)
def test_what_cannot_be_pruned_is_told_with_the_layer_and_the_remedy(name, config, says, tmp_path):
    with pytest.raises(BuildError, match=says):
        prune(name, tmp_path, **config)


def test_groups_that_torch_pruning_cannot_split_are_left_and_the_others_shrink(tmp_path):
    _, pruned, about = prune("grouped", tmp_path, exclude=["3", "5"])
    assert about["channels_left"]["0"] % 4 == 0  # the convolution behind it has 4 groups
    assert about["channels_left"]["0"] < 36
    assert tiny.eager(pruned, tiny.samples(IMAGE, 3))[0].shape == (3, 4)
