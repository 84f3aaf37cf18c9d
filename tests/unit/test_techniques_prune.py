"""Pruning: channels really go, zeros really stay, and what cannot be pruned is told."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file

from harness.errors import BuildError
from harness.formats.registry import count_statistics
from harness.zoo.registry import Data

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

SHARE = {"channel": "pruning_ratio", "unstructured": "sparsity"}
PLAIN = {"finetune": {"epochs": 0}}
TUNED = {"finetune": {"epochs": 1, "batch": 16}}


def weights(artifact):
    return load_file(artifact.folder / "weights.safetensors")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {
        name: tiny.source(name, folder / name) for name in ("dense", "conv", "two_outputs", "linear", "ones")
    }


def prune(structure, sources, name, folder, data=None, seed=0, **config):
    context = tiny.Context(tiny.INPUTS[name], data, seed)
    return tiny.build(f"prune/{structure}", sources[name], folder / "out", context, **config)


# ------------------------------------------------------------------ channels


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("dense", {"0": 8, "2": 4}),
        ("conv", {"conv1": 8, "conv2": 16, "head": 4}),
        ("two_outputs", {"body": 8, "left": 3, "right": 5}),
    ],
)
def test_half_the_channels_go_and_the_outputs_keep_their_shape(sources, name, left, tmp_path):
    artifact, report = prune("channel", sources, name, tmp_path, pruning_ratio=0.5, **PLAIN)
    assert report["channels_left"] == left
    before = count_statistics("torch-module", sources[name].folder, tiny.INPUTS[name])
    after = count_statistics("torch-module", artifact.folder, tiny.INPUTS[name])
    assert after["flops_per_sample"] < 0.6 * before["flops_per_sample"]
    assert after["parameters"] < 0.6 * before["parameters"]
    assert report["flops_left_share"] == pytest.approx(after["flops_per_sample"] / before["flops_per_sample"])
    inputs = tiny.samples(tiny.INPUTS[name], 3)
    shapes = [[a.shape for a in tiny.eager(one, inputs)] for one in (sources[name], artifact)]
    assert shapes[0] == shapes[1]


def test_half_the_channels_of_a_transposed_convolution_go(tmp_path):
    """16 channels to 8: 2 × 4·8·9·25 FLOPs upward, 2 × 8·2·9·81 after it, and the head as before."""
    source = tiny.source("upward", tmp_path / "source")
    artifact, report = prune("channel", {"upward": source}, "upward", tmp_path, pruning_ratio=0.5, **PLAIN)
    assert report["channels_left"] == {"0": 8, "2": 2, "4": 3}
    assert weights(artifact)["0.weight"].shape == (4, 8, 3, 3)
    counted = count_statistics("torch-module", artifact.folder, tiny.INPUTS["upward"])
    assert counted["flops_per_sample"] == 14_400 + 23_328 + 972


def test_the_channels_that_stay_are_those_with_the_largest_weights(tmp_path):
    """In a dense net without coupling, the group of a hidden unit is its row, its bias and its column."""
    source = tiny.source("dense", tmp_path / "source")
    module_weights = weights(source)
    rows, bias, columns = (module_weights[n] for n in ("0.weight", "0.bias", "2.weight"))
    artifact, _ = prune("channel", {"dense": source}, "dense", tmp_path, pruning_ratio=0.5, **PLAIN)
    kept = weights(artifact)["0.weight"]
    indices = [int(np.flatnonzero((rows == row).all(1))[0]) for row in kept]
    np.testing.assert_array_equal(weights(artifact)["0.bias"], bias[indices])
    np.testing.assert_array_equal(weights(artifact)["2.weight"], columns[:, indices])
    importance = (rows**2).sum(1) + (columns**2).sum(0)
    gone = np.setdiff1d(np.arange(16), indices)
    assert importance[indices].mean() > importance[gone].mean()
    assert int(importance.argmax()) in indices
    assert int(importance.argmin()) not in indices


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("dense", {"pruning_ratio": 0.3, "round_to": 16}),
        ("linear", {"pruning_ratio": 0.5}),
    ],
)
def test_removing_nothing_is_refused_with_what_to_change(sources, name, config, tmp_path):
    with pytest.raises(
        BuildError, match=r"removed nothing \(pruning_ratio .*raise pruning_ratio or lower round_to"
    ):
        prune("channel", sources, name, tmp_path, **config, **PLAIN)


def test_channels_left_are_a_multiple_of_round_to(sources, tmp_path):
    _, report = prune("channel", sources, "dense", tmp_path, pruning_ratio=0.4, round_to=4, **PLAIN)
    assert report["channels_left"]["0"] % 4 == 0
    assert report["channels_left"]["0"] < 16


def test_output_layers_are_those_whose_result_is_returned(sources):
    from harness.formats.torch import module as torch_module
    from harness.techniques.prune.channel import output_layers

    found = {}
    for name in ("dense", "conv", "two_outputs"):
        module = torch_module.load_module(sources[name].folder)
        inputs = tuple(map(torch.from_numpy, tiny.samples(tiny.INPUTS[name], 2)))
        names = {part: at for at, part in module.named_modules()}
        for _ in range(20):  # results of inner layers are freed meanwhile
            found.setdefault(name, set()).add(tuple(names[part] for part in output_layers(module, inputs)))
    assert found == {"dense": {("2",)}, "conv": {("head",)}, "two_outputs": {("left", "right")}}


# ------------------------------------------------------------------ single weights


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("tuning", [PLAIN, TUNED], ids=["plain", "tuned"])
def test_exactly_the_smallest_weights_become_zero_and_stay_so(sources, sparsity, tuning, tmp_path):
    data = tiny.training(tiny.VECTOR)
    artifact, report = prune("unstructured", sources, "dense", tmp_path, data, sparsity=sparsity, **tuning)
    before, after = weights(sources["dense"]), weights(artifact)
    names = ("0.weight", "2.weight")
    flat = np.concatenate([np.abs(before[name]).ravel() for name in names])
    zero = np.concatenate([(after[name] == 0).ravel() for name in names])
    assert zero.sum() == int(sparsity * flat.size)
    assert flat[zero].max() <= flat[~zero].min()
    assert report["zero_share"] == {n: round(float((after[n] == 0).mean()), 4) for n in names}
    assert report["sparsity"] == zero.mean()
    changed = {
        name
        for name in before
        if not np.array_equal(before[name][after[name] != 0], after[name][after[name] != 0])
    }
    if tuning is PLAIN:
        assert changed == set()
    else:  # with nearly all weights gone, no gradient may reach the others
        assert changed == set(before) or sparsity > 0.9


KINDS = {
    "attention.in_proj_weight": 3 * 8 * 8,
    "attention.out_proj.weight": 8 * 8,
    "body.weight_ih_l0": 4 * 6 * 8,
    "body.weight_hh_l0": 4 * 6 * 6,
    "up.weight": 6 * 4 * 3,
    "head.weight": 4 * 3,
}


@pytest.mark.parametrize("tuning", [PLAIN, TUNED], ids=["plain", "tuned"])
def test_weights_of_every_kind_of_layer_are_pruned_but_no_table_norm_position_or_bias(tmp_path, tuning):
    given = tiny.source("kinds", tmp_path / "source")
    data = tiny.training(tiny.INPUTS["kinds"], classes=3)
    artifact, report = prune(
        "unstructured", {"kinds": given}, "kinds", tmp_path, data, sparsity=0.5, **tuning
    )
    before, after = weights(given), weights(artifact)
    zeros = {name: int((array == 0).sum()) for name, array in after.items() if name in KINDS}
    assert sum(zeros.values()) == sum(KINDS.values()) // 2 == 338
    assert report["sparsity"] == 0.5
    assert report["zero_share"] == {n: round(zeros[n] / KINDS[n], 4) for n in KINDS}
    assert all(0 < share < 1 for share in report["zero_share"].values())
    if tuning is PLAIN:
        for name in set(before) - set(KINDS):
            np.testing.assert_array_equal(before[name], after[name])


def test_of_weights_alike_no_more_than_the_share_becomes_zero(sources, tmp_path):
    artifact, _ = prune("unstructured", sources, "ones", tmp_path, sparsity=0.5, **PLAIN)
    assert (weights(artifact)["weight"] == 0).sum() == 16


def test_shapes_and_the_rest_of_the_module_stay(sources, tmp_path):
    artifact, _ = prune("unstructured", sources, "conv", tmp_path, sparsity=0.5, **PLAIN)
    before, after = weights(sources["conv"]), weights(artifact)
    assert {n: a.shape for n, a in before.items()} == {n: a.shape for n, a in after.items()}
    for name in before:
        if not name.endswith("weight") or name.startswith("norm"):
            np.testing.assert_array_equal(before[name], after[name])
    statistics = count_statistics("torch-module", artifact.folder, tiny.IMAGE)
    given = count_statistics("torch-module", sources["conv"].folder, tiny.IMAGE)
    assert statistics["flops_per_sample"] == given["flops_per_sample"]
    assert statistics["nonzero_parameters"] < 0.6 * given["nonzero_parameters"]


def test_what_has_no_weights_or_too_few_cannot_be_pruned(sources, tmp_path):
    with pytest.raises(BuildError, match=r"sparsity 0\.01 of 32 weights is less than one weight"):
        prune("unstructured", sources, "linear", tmp_path, sparsity=0.01, **PLAIN)
    bare = tiny.source("no_weights", tmp_path / "bare")
    with pytest.raises(BuildError, match="found no weights of matrix products"):
        prune("unstructured", {"no_weights": bare}, "no_weights", tmp_path / "b", sparsity=0.5, **PLAIN)


# ------------------------------------------------------------------ fine-tuning


@pytest.mark.parametrize("structure", SHARE)
def test_fine_tuning_follows_the_seed(sources, structure, tmp_path):
    data = tiny.training(tiny.VECTOR)
    runs = []
    for i, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(i)
        config = {SHARE[structure]: 0.5, "finetune": {"epochs": 1, "batch": 8, "samples": 32}}
        runs.append(weights(prune(structure, sources, "dense", folder, data, seed, **config)[0])["0.weight"])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("structure", SHARE)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "there is no training data"),
        (Data(tiny.samples(tiny.VECTOR, 8)), r"needs labels, .* set finetune\.epochs to 0"),
        (
            Data((np.zeros((8, 7), np.float32),), np.zeros(8, np.int64)),
            r"samples of shape \(7,\), not \(8,\)",
        ),
        (Data((np.full((8, 8), np.nan, np.float32),), np.zeros(8, np.int64)), "contains NaN or infinity"),
    ],
)
def test_fine_tuning_on_data_that_does_not_fit_is_told(sources, structure, data, says, tmp_path):
    with pytest.raises(BuildError, match=says):
        prune(structure, sources, "dense", tmp_path, data, **{SHARE[structure]: 0.5}, **TUNED)


def test_without_fine_tuning_no_data_is_asked_for(sources):
    from harness.techniques.registry import TRANSFORMS

    for structure, share in SHARE.items():
        step = TRANSFORMS.get(f"prune/{structure}")
        assert not step.needs_training_data(step.config(**{share: 0.5}, **PLAIN))
        assert step.needs_training_data(step.config(**{share: 0.5}))


def test_attention_whose_heads_no_longer_fit_is_told(tmp_path):
    from harness.artifacts.artifact import Artifact
    from harness.formats.torch import module as torch_module
    from harness.zoo.registry import MODELS

    model = MODELS.get("byte-lm")
    torch_module.save_module(torch_module.call_factory(model.factory), tmp_path, model.factory, {})
    with pytest.raises(BuildError, match=r"does not fit this model: .*attention heads"):
        tiny.build(
            "prune/channel",
            Artifact("s", torch_module.FORMAT, tmp_path),
            tmp_path / "out",
            tiny.Context(model.inputs, None, 0),
            pruning_ratio=0.5,
            **PLAIN,
        )
