"""torchao: int8 dense layers in a compiled package, held against numpy; what was quantized is counted."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tiny
from pydantic import ValidationError

from harness.analysis.records.columns import LOW_PRECISION
from harness.errors import BuildError
from harness.formats.low_precision.torch import report
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.runtimes.registry import RUNTIMES
from harness.techniques.quantize.torchao import TorchaoFloat8, TorchaoWeightOnly, fits_float8

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

BATCH = 3


def context(inputs=tiny.VECTOR):
    return tiny.Context(inputs, target=Target(batch=BATCH, threads=1))


def weight_int8(w):
    """Symmetric, a scale for each output channel, onto [-127, 127] or [-128, 127]."""
    scale = np.abs(w).max(axis=1, keepdims=True) / 127.5
    return np.clip(np.rint(w / scale), -128, 127) * scale


def activations_int8(x):
    """Symmetric, a scale for each sample."""
    scale = np.abs(x).max(axis=1, keepdims=True) / 127.5
    return np.clip(np.rint(x / scale), -128, 127) * scale


def oracle(module, x, *, dynamic):
    """tiny_factories.dense: two dense layers, relu between."""
    first, second = (part for part in module.modules() if isinstance(part, torch.nn.Linear))
    data = x
    for i, layer in enumerate((first, second)):
        given = activations_int8(data) if dynamic else data
        data = given @ weight_int8(layer.weight.numpy()).T + layer.bias.numpy()
        data = np.maximum(data, 0) if i == 0 else data
    return data


@pytest.mark.slow
@pytest.mark.parametrize("method", ["torchao-dynamic", "torchao-weight-only"])
def test_dense_layers_compute_what_numpy_computes_without_torchao(method, tmp_path):
    source = tiny.source("dense", tmp_path / "m")
    _, about = tiny.build(f"quantize/{method}", source, tmp_path / "q", context())
    dynamic = method == "torchao-dynamic"
    kernels = {"_int_mm": 2} if dynamic else {"mm": 2}
    assert about["integer_operators" if dynamic else "weight_only_operators"] == kernels
    assert about["flops_by_type"] == {"int8" if dynamic else "float32": 1.0}
    assert about["overhead_operators"] == ({} if dynamic else {"unpacking of weights": 2})
    assert set(LOW_PRECISION) <= set(about)
    assert about["low_precision_flops_share" if dynamic else "weight_only_flops_share"] == 1.0
    assert about["low_precision_weight_share"] == 1.0
    (x,) = tiny.samples(tiny.VECTOR, BATCH)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np; from pathlib import Path; from harness.artifacts.artifact import Artifact;"
        "from harness.formats.target import Target; from harness.runtimes.registry import RUNTIMES;"
        "entry = RUNTIMES.get('torch-compile');"
        f"folder = Path({str(tmp_path)!r}); artifact = Artifact('q', 'aoti', folder / 'q');"
        f"session = entry.open_session(entry.config(), artifact, Target(batch={BATCH}, threads=1));"
        "np.save(folder / 'y.npy', session.run([np.load(folder / 'x.npy')])[0]);"
        "print('torchao' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    found = np.load(tmp_path / "y.npy")
    module = torch_module.load_module(source.folder)
    expected, exact = oracle(module, x, dynamic=dynamic), tiny.eager(source, (x,))[0]
    assert 0 < np.abs(found - exact).max() < 0.05 * np.ptp(exact)
    assert np.abs(found - expected).max() < 0.01 * np.ptp(exact)


@pytest.mark.slow
@pytest.mark.parametrize(("features", "levels"), [({"avx2"}, 64), ({"avx2", "avx512_vnni"}, 128)])
def test_the_range_follows_the_machine_and_is_told(features, levels, tmp_path):
    source = tiny.source("linear", tmp_path / "m")
    about = tiny.Context(tiny.VECTOR, target=Target(batch=BATCH, threads=1))
    about.cpu_features = frozenset(features)
    artifact, told = tiny.build("quantize/torchao-dynamic", source, tmp_path / "q", about)
    assert told["reduced_range"] == (levels == 64)
    assert ("weights in 7 bits: without a dot product" in told["compute_dtype"]) == (levels == 64)
    layer = next(p for p in torch_module.load_module(source.folder).modules() if hasattr(p, "weight"))
    w = layer.weight.numpy()
    scale = np.abs(w).max(axis=1, keepdims=True) / (levels - 0.5)
    (x,) = tiny.samples(tiny.VECTOR, BATCH)
    step = np.abs(x).max(axis=1, keepdims=True) / (levels - 0.5)
    bias = 0.0 if layer.bias is None else layer.bias.numpy()
    rounded = np.clip(np.rint(x / step), -levels, levels - 1) * step
    expected = rounded @ (np.clip(np.rint(w / scale), -levels, levels - 1) * scale).T + bias
    entry = RUNTIMES.get("torch-compile")
    found = entry.open_session(entry.config(), artifact, Target(BATCH, threads=1)).run([x])[0]
    exact = tiny.eager(source, (x,))[0]
    # The largest number of a row lies at half a level, where the last bit decides: most others are exact.
    assert np.median(np.abs(found - expected)) < 0.1 * np.median(np.abs(found - exact))


@pytest.mark.slow
def test_int4_weights_compute_what_numpy_computes_and_what_does_not_fit_stays_float(tmp_path):
    specs = tiny.INPUTS["wide"]
    source = tiny.source("wide", tmp_path / "m")
    artifact, about = tiny.build(
        "quantize/torchao-weight-only", source, tmp_path / "q", context(specs), dtype="int4", group_size=32
    )
    assert about["weight_only_operators"] == {"_weight_int4pack_mm_for_cpu": 1}
    assert sum(about["float_operators"].values()) == 1
    assert about["flops_by_type"] == {"float32": 1.0}
    assert about["low_precision_weight_share"] == pytest.approx(1024 / (1024 + 4 * 320))
    first, second = (p for p in torch_module.load_module(source.folder).modules() if hasattr(p, "weight"))
    groups = first.weight.numpy().reshape(32, 2, 32)
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    scale = (high - low) / 15
    weights = (np.rint((groups - low) / scale) * scale + low).reshape(32, 64)
    (x,) = tiny.samples(specs, BATCH)
    hidden = np.maximum(x @ weights.T + first.bias.numpy(), 0)
    expected = hidden @ second.weight.numpy().T + second.bias.numpy()
    entry = RUNTIMES.get("torch-compile")
    session = entry.open_session(entry.config(), artifact, Target(BATCH, threads=1))
    found, exact = session.run([x])[0], tiny.eager(source, (x,))[0]
    assert np.abs(found - expected).max() < 0.3 * np.abs(found - exact).max(), "nearer to numpy than to float"


@pytest.mark.slow
def test_an_embedding_in_float_counts_among_the_weights(tmp_path):
    """Tied to the head in the module, and stored beside its integers in the package."""
    specs = tiny.INPUTS["tied_head"]
    source = tiny.source("tied_head", tmp_path / "m")
    _, about = tiny.build("quantize/torchao-weight-only", source, tmp_path / "q", context(specs))
    assert about["weight_only_flops_share"] == 1.0
    assert about["low_precision_weight_share"] == pytest.approx(1 / (1 + 4))


@pytest.mark.parametrize("method", ["torchao-dynamic", "torchao-weight-only"])
def test_a_module_without_dense_layers_is_refused(method, tmp_path):
    source = tiny.source("single_conv", tmp_path / "m")
    with pytest.raises(BuildError, match="nothing was quantized: the module has only Conv2d"):
        tiny.build(f"quantize/{method}", source, tmp_path / "q", context(tiny.INPUTS["single_conv"]))


def test_a_group_of_int8_weights_is_refused():
    with pytest.raises(ValidationError, match="group_size: for int4, not for int8"):
        TorchaoWeightOnly(group_size=64)
    config = TorchaoWeightOnly(dtype="int4", group_size=64)
    assert TorchaoWeightOnly.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("integers", [True, False])
def test_shares_are_of_flops_and_of_bytes(integers):
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(256, 10)
    )
    specs = (tiny.TensorSpec(name="x", shape=(2, 8, 8)),)
    about = report(module, specs, lambda part: isinstance(part, torch.nn.Linear), integers=integers)
    dense, conv = 2 * 256 * 10, 2 * 4 * 64 * 18
    share = pytest.approx(dense / (dense + conv))
    assert about["float_operators"] == {"Conv2d": 1}
    assert about["float_operator_names"] == ["Conv2d 0"]
    assert about["integer_operators"] == ({"Linear": 1} if integers else {})
    assert about["weight_only_operators"] == ({} if integers else {"Linear": 1})
    assert about["low_precision_flops_share"] == (share if integers else 0.0)
    assert about["weight_only_flops_share"] == (0.0 if integers else share)
    assert about["low_precision_weight_share"] == pytest.approx(2560 / (2560 + 4 * 72))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_weights_of_attention_count_where_they_stay_in_float(tmp_path):
    """The layer's dense layers in 8 bits; its joint projection and output projection stay in float."""
    module = torch_module.load_module(tiny.source("attention", tmp_path).folder)
    about = report(
        module, tiny.INPUTS["attention"], lambda part: type(part) is torch.nn.Linear, integers=True
    )
    low, left = 2 * 8 * 16 + 8 * 3, 3 * 8 * 8 + 8 * 8
    assert about["low_precision_weight_share"] == pytest.approx(low / (low + 4 * left))
    assert about["low_precision_flops_share"] == pytest.approx(2 * (5 * 2 * 8 * 16 + 8 * 3) / 5968)
    assert about["float_operators"] == {"MultiheadAttention": 1, "NonDynamicallyQuantizableLinear": 1}


# ------------------------------------------------------------------ PT2E static


def pt2e(name, folder, data=None, **config):
    specs = tiny.INPUTS[name]
    source = tiny.source(name, folder / "m")
    built = tiny.build(
        "quantize/pt2e-static",
        source,
        folder / "q",
        tiny.Context(specs, data or tiny.training(specs), target=Target(batch=BATCH, threads=1)),
        calibration={"samples": 64, "batch": 20},
        **config,
    )
    return source, *built, specs


@pytest.mark.slow
def test_static_int8_runs_in_integer_kernels_and_stays_near(tmp_path):
    source, artifact, about, specs = pt2e("conv", tmp_path, reduce_range=False)
    assert about["integer_operators"] == {"qconv": 2, "qlinear": 1}
    assert about["flops_by_type"] == {"int8": 1.0}
    assert about["compute_dtype"] == "int8 (qconv, qlinear)"
    assert about["float_operators"] == {}
    assert about["low_precision_flops_share"] == about["low_precision_weight_share"] == 1.0
    assert about["calibration_samples"] == 64
    entry = RUNTIMES.get("torch-compile")
    inputs = tiny.samples(specs, BATCH)
    session = entry.open_session(entry.config(), artifact, Target(BATCH, threads=1))
    (found,), (expected,) = session.run(inputs), tiny.eager(source, inputs)
    assert 0 < np.abs(found - expected).max() < 0.06 * np.ptp(expected)


def test_pt2e_tells_what_it_cannot_do(tmp_path):
    with pytest.raises(BuildError, match="nothing was quantized: the graph has no dense or convolution"):
        pt2e("no_weights", tmp_path / "n")


@pytest.mark.parametrize(("reduced", "most"), [(False, 255), (True, 127)])
def test_the_quantized_graph_computes_what_numpy_computes(reduced, most):
    """One dense layer: activations over the calibrated range, int8 weights for each output channel."""
    from harness.techniques.quantize.pt2e_static import _converted
    from harness.zoo.registry import Data

    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 4).eval().requires_grad_(False)
    data = np.random.default_rng(1).uniform(-1, 3, (200, 8)).astype(np.float32)
    graph = _converted(layer, Data((data,)), 64, tiny.VECTOR, reduced=reduced)
    ends = np.float32([-1, 3])
    step = (ends[1] - ends[0]) / most
    zero = np.rint(-ends[0] / step)
    weights = layer.weight.numpy()
    scale = np.abs(weights).max(axis=1, keepdims=True) / 127.5
    x = data[:32]
    rounded = (np.clip(np.rint(x / step) + zero, 0, most) - zero) * step
    expected = rounded @ (np.clip(np.rint(weights / scale), -128, 127) * scale).T + layer.bias.numpy()
    found = graph(torch.from_numpy(x)).numpy()
    exact = layer(torch.from_numpy(x)).numpy()
    assert np.abs(found - expected).max() < 0.02 * np.ptp(exact)
    assert np.abs(found - exact).max() > 0


def test_an_exported_graph_in_float_is_refused():
    from harness.formats.low_precision.torch import refuse_float_graph

    module = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 10))
    exported = torch.export.export(module.eval(), (torch.randn(2, 2, 8, 8),))
    with pytest.raises(BuildError, match="only conv2d, linear in float"):
        refuse_float_graph(exported.graph)


# ------------------------------------------------------------------ float8


def test_float8_takes_dense_layers_of_sides_in_sixteens():
    layers = {torch.nn.Linear(32, 16): True, torch.nn.Linear(32, 10): False, torch.nn.Linear(8, 16): False}
    layers[torch.nn.Conv2d(16, 16, 1)] = False
    assert all(fits_float8(layer) is expected for layer, expected in layers.items())
    config = TorchaoFloat8(activations="float")
    assert TorchaoFloat8.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="activations"):
        TorchaoFloat8(activations="int8")
