"""Quantization-aware training: its rounding held against numpy, and what comes out in integers."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from pydantic import ValidationError

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.runtimes.registry import RUNTIMES
from harness.techniques.quantize.qat import QuantizationAware
from harness.techniques.quantize.qat_training import Grid, fake_quantized, train_quantized
from harness.techniques.quantize.qat_weights import QatWeights, rounded, train_rounded
from harness.zoo.registry import Data

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")
pytest.importorskip("onnxruntime")

EIGHT, SEVEN = (127, 255), (64, 127)
TRAINING = {"epochs": 2, "batch": 16}
CALIBRATION = {"samples": 64, "batch": 16}


def weights_rounded(w, most, per_channel):
    """Symmetric, a scale for each output or one for all; `w` is (outputs, …)."""
    axes = tuple(range(1, w.ndim)) if per_channel else None
    scale = np.abs(w).max(axis=axes, keepdims=True) / most
    return np.clip(np.rint(w / scale), -most, most) * scale


def activations_rounded(x, most):
    """Affine over the range of this one batch, zero among it."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = (high - low) / most
    zero = np.rint(-low / scale)
    return (np.clip(np.rint(x / scale) + zero, 0, most) - zero) * scale


def context(name, data=None, **about):
    return tiny.Context(tiny.INPUTS[name], data, **about)


@pytest.mark.parametrize("most", [EIGHT, SEVEN])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_dense_layer_sees_what_numpy_rounds(most, per_channel):
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 4)
    (x,) = tiny.samples(tiny.VECTOR, 32)
    x = x * 2 + 1
    prepared = fake_quantized(layer.train(), Grid(*most, per_channel), context("linear"))
    w, b = (tensor.detach().numpy() for tensor in (layer.weight, layer.bias))
    expected = activations_rounded(x, most[1]) @ weights_rounded(w, most[0], per_channel).T + b
    found = prepared(torch.from_numpy(x)).detach().numpy()
    exact = x @ w.T + b
    assert np.abs(found - expected).max() < 0.02 * np.abs(found - exact).max()


def test_a_convolutions_weights_are_rounded_as_its_batch_norm_will_scale_them():
    """One scale for all: here the order of folding and rounding changes the result."""
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(2, 4, 1, bias=False), torch.nn.BatchNorm2d(4, eps=0.1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.1, 1.0, 3.0, 0.5]))
        norm.running_var.copy_(torch.tensor([0.2, 1.0, 4.0, 0.05]))
    module = torch.nn.Sequential(conv, norm).train()
    gamma, variance = norm.weight.detach().numpy(), norm.running_var.numpy().copy()
    (x,) = tiny.samples(tiny.INPUTS["single_conv"], 16)
    prepared = fake_quantized(module, Grid(7, 255, False), context("single_conv"))
    found = prepared(torch.from_numpy(x)).detach().numpy()
    factor = gamma / np.sqrt(variance + 0.1)
    w = conv.weight.detach().numpy()[:, :, 0, 0]
    folded = weights_rounded(w * factor[:, None], 7, False) / factor[:, None]
    rows = np.einsum("oc,nchw->nohw", folded, activations_rounded(x, 255))
    mean, spread = (f(rows, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.var))
    expected = (rows - mean) / np.sqrt(spread + 0.1) * gamma[:, None, None]
    error = np.abs(found - activations_rounded(expected, 255))  # what the next layer is given
    step = np.ptp(expected) / 255
    assert error.max() <= 1.01 * step  # a rounding half either way
    assert np.mean(error < 0.01 * step) > 0.95


def test_training_goes_back_into_the_module_and_statistics_with_it():
    artifact_module = torch_module.call_factory("tiny_factories:residual")
    before = {name: tensor.clone() for name, tensor in artifact_module.state_dict().items()}
    data = tiny.training(tiny.INPUTS["residual"])
    config = QuantizationAware(**TRAINING, learning_rate=0.01)
    losses = train_quantized(artifact_module, Grid(*EIGHT, True), config, context("residual", data))
    assert len(losses) == 2
    after = artifact_module.state_dict()
    assert list(after) == list(before)
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert {"conv1.weight", "norm1.running_mean", "norm2.weight", "head.bias"} <= set(changed)
    assert artifact_module.norm1.eps == 1e-2
    assert not artifact_module.training
    assert not any(parameter.requires_grad for parameter in artifact_module.parameters())


@pytest.mark.parametrize("method", ["qat/onnx", "qat-weights"])
def test_what_was_pruned_stays_so(method, tmp_path, monkeypatch):
    source = tiny.source("wide", tmp_path / "m")
    module = torch_module.load_module(source.folder)
    module[0].weight[:, ::2] = 0
    (tmp_path / "pruned").mkdir()
    torch_module.save_changed(module, source.folder, tmp_path / "pruned")
    kept = []
    monkeypatch.setattr(
        torch_module,
        "save_changed",
        lambda changed, *rest, save=torch_module.save_changed: (kept.append(changed), save(changed, *rest))[
            1
        ],
    )
    pruned = Artifact("p", torch_module.FORMAT, tmp_path / "pruned")
    about = context("wide", tiny.training(tiny.INPUTS["wide"], 512))
    tiny.build(f"quantize/{method}", pruned, tmp_path / "q", about, epochs=1)
    (trained,) = kept
    assert not torch.equal(trained[0].weight, module[0].weight)
    assert (trained[0].weight[:, ::2] == 0).all()


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_a_batch_norm_that_multiplies_by_zero_is_told(sides):
    conv, norm = (getattr(torch.nn, f"{kind}{sides}d") for kind in ("Conv", "BatchNorm"))
    module = torch.nn.Sequential(conv(2, 4, 1), norm(4))
    with torch.no_grad():
        module[1].weight[3] = 0
    about = context("residual", tiny.training(tiny.INPUTS["residual"]))
    with pytest.raises(BuildError, match="the batch norm '1' has factors of zero"):
        train_quantized(module, Grid(*EIGHT, True), QuantizationAware(), about)


def teacher(name, count=512):
    """Samples labeled by the float module itself: its accuracy is 1, and rounding costs some of it."""
    inputs = tiny.samples(tiny.INPUTS[name], count, seed=4)
    torch.manual_seed(0)
    module = torch_module.call_factory(f"tiny_factories:{name}")
    with torch.no_grad():
        labels = module(*map(torch.from_numpy, inputs)).argmax(-1).numpy()
    return Data(inputs, labels)


def outputs_of(artifact, inputs):
    entry = RUNTIMES.get("onnxruntime")
    target = Target(batch=len(inputs[0]), threads=1)
    return entry.open_session(entry.config(), artifact, target).run(inputs)[0]


@pytest.mark.parametrize("name", ["conv", "residual", "dense"])
def test_every_layer_runs_in_integers_and_stays_near_the_trained_module(name, tmp_path):
    data = tiny.training(tiny.INPUTS[name], 128)
    about = context(name, data, cpu_features=frozenset({"avx512_vnni"}))
    source = tiny.source(name, tmp_path / "m")
    made, told = tiny.build(
        "quantize/qat/onnx", source, tmp_path / "q", about, **TRAINING, calibration=CALIBRATION
    )
    assert told["low_precision_flops_share"] == told["low_precision_weight_share"] == 1.0
    assert told["float_operators"] == {}
    assert (told["epochs"], len(told["training_losses"])) == (2, 2)
    module = torch_module.load_module(source.folder)
    train_quantized(module, Grid(*EIGHT, True), QuantizationAware(**TRAINING), about)
    with torch.no_grad():
        trained = module(*map(torch.from_numpy, data.inputs)).numpy()
    found = outputs_of(made, data.inputs)
    assert 0 < np.abs(found - trained).max() < 0.08 * np.ptp(trained)
    again, _ = tiny.build(
        "quantize/qat/onnx", source, tmp_path / "again", about, **TRAINING, calibration=CALIBRATION
    )
    assert np.array_equal(outputs_of(again, data.inputs), found), "the same seed gives the same weights"


@pytest.mark.slow
def test_a_package_of_it_runs_in_integer_kernels(tmp_path):
    data = tiny.training(tiny.INPUTS["residual"], 128)
    about = context("residual", data)
    source = tiny.source("residual", tmp_path / "m")
    made, told = tiny.build(
        "quantize/qat/pt2e", source, tmp_path / "q", about, **TRAINING, calibration=CALIBRATION
    )
    assert told["integer_operators"] == {
        "qconv": 2,
        "qconv_binary": 1,
        "qlinear": 1,
    }  # one is fused with the addition
    assert told["reduced_range"]
    entry = RUNTIMES.get("torch-compile")
    session = entry.open_session(entry.config(), made, about.target)
    assert np.isfinite(session.run([array[:2] for array in data.inputs])[0]).all()


def test_a_relu_that_is_called_twice_is_two_for_the_quantizer(tmp_path):
    """torchao's quantizer took both for one operator with two outputs, and failed."""
    from harness.techniques.quantize.pt2e_static import _converted

    module = torch_module.load_module(tiny.source("residual", tmp_path / "m").folder)
    specs = tiny.INPUTS["residual"]
    data = tiny.training(specs)
    graph = _converted(module, data, 16, specs, reduced=False)
    with torch.no_grad():
        found, exact = (f(torch.from_numpy(data.inputs[0])).numpy() for f in (graph, module))
    assert 0 < np.abs(found - exact).max() < 0.06 * np.ptp(exact)


# ------------------------------------------------------------------ weights alone


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("block", [16, 64])
def test_blocks_are_rounded_as_onnx_runtime_rounds_them(bits, block, tmp_path):
    """The same float weights, hardly trained: both steps give the same outputs."""
    source = tiny.source("wide", tmp_path / "m")
    module = torch_module.load_module(source.folder)
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            part.weight.data = rounded(part.weight, bits, block)
    (tmp_path / "rounded").mkdir()
    torch_module.save_changed(module, source.folder, tmp_path / "rounded")
    inputs = tiny.samples(tiny.INPUTS["wide"], 16)
    expected = tiny.eager(Artifact("r", torch_module.FORMAT, tmp_path / "rounded"), inputs)[0]
    graph, _ = tiny.build("export-onnx", source, tmp_path / "o", context("wide"))
    made, _ = tiny.build(
        "quantize/weight-only", graph, tmp_path / "q", context("wide"), dtype=f"int{bits}", block_size=block
    )
    assert np.abs(outputs_of(made, inputs) - expected).max() < 1e-5 * np.ptp(expected) + 1e-6


def test_two_bit_weights_lose_less_when_they_were_trained_so(tmp_path):
    data = teacher("wide")
    about = context("wide", data)
    source = tiny.source("wide", tmp_path / "m")
    graph, _ = tiny.build("export-onnx", source, tmp_path / "o", about)
    after, _ = tiny.build("quantize/weight-only", graph, tmp_path / "p", about, dtype="int2", block_size=64)
    trained, told = tiny.build(
        "quantize/qat-weights", source, tmp_path / "q", about,
        dtype="int2", block_size=64, epochs=10, batch=16, learning_rate=0.01,
    )  # fmt: skip
    assert told["weight_only_operators"] == {"MatMulNBits": 2}
    shares = [np.mean(outputs_of(made, data.inputs).argmax(-1) == data.labels) for made in (after, trained)]
    assert shares[1] > shares[0] + 0.1


def test_an_embedding_that_a_head_is_tied_to_is_read_as_it_was_in_training(tmp_path):
    """Weight-only leaves look-ups in float; a shared weight rounded in the module would round them, too."""
    specs = tiny.INPUTS["tied_head"]
    inputs = tiny.samples(specs, 64)
    about = tiny.Context(specs, Data(inputs, np.roll(inputs[0], 1, axis=1)))
    source = tiny.source("tied_head", tmp_path / "m")
    config = QatWeights(dtype="int2", block_size=16, batch=16, learning_rate=0.01)
    made, told = tiny.build("quantize/qat-weights", source, tmp_path / "q", about, **config.model_dump())
    assert told["weight_only_operators"] == {"MatMulNBits": 1}
    module = torch_module.load_module(source.folder)
    train_rounded(module, 2, 16, config, about)
    assert module.head.weight is module.tokens.weight
    weight = module.head.weight.detach()
    tokens = torch.from_numpy(inputs[0])
    steps = rounded(weight, 2, 16)
    trained, unlike = ((table[tokens] @ steps.T).numpy() for table in (weight, steps))
    error = np.abs(outputs_of(made, inputs) - trained).max()
    assert error < 1e-5 * np.ptp(trained) < 0.01 * np.abs(unlike - trained).max()


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize("method", ["qat/onnx", "qat/pt2e", "qat-weights"])
def test_what_cannot_be_trained_is_told(method, tmp_path):
    step = f"quantize/{method}"
    source = tiny.source("dense", tmp_path / "m")
    unlabeled = context("dense", Data(tiny.samples(tiny.VECTOR, 64)))
    with pytest.raises(BuildError, match="training needs labels, and the dataset has none"):
        tiny.build(step, source, tmp_path / "a", unlabeled)
    with pytest.raises(BuildError, match="nothing would be quantized: the module has no dense"):
        relu = tiny.source("no_weights", tmp_path / "n")
        tiny.build(step, relu, tmp_path / "b", context("no_weights", tiny.training(tiny.VECTOR)))
    wrong = context("dense", tiny.training(tiny.INPUTS["wide"]))
    with pytest.raises(BuildError, match=r"training data.* shape \(64,\), not \(8,\)"):
        tiny.build(step, source, tmp_path / "c", wrong)


def test_a_scale_for_the_whole_weight_is_for_onnx_graphs(tmp_path):
    source = tiny.source("dense", tmp_path / "m")
    about = context("dense", tiny.training(tiny.VECTOR))
    with pytest.raises(BuildError, match="per_channel: false is for ONNX graphs"):
        tiny.build("quantize/qat/pt2e", source, tmp_path / "q", about, per_channel=False)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        QuantizationAware(epochs=0)
