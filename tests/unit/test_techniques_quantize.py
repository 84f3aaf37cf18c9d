"""Quantized products are compared with numpy, and reports with the graph that runs."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from layers import CONV, DENSE, columns, context, conv, gemm, run, samples, write

from harness.analysis.records.columns import LOW_PRECISION
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.techniques.quantize.ranges import SAFE_DOT_PRODUCTS, needs_reduced_range
from harness.zoo.registry import Data

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

CALIBRATION = {"samples": 64, "batch": 16}


# ------------------------------------------------------------------ the same products in numpy


LARGEST = 64  # of the reduced range: with full 8 bits, processors without VNNI saturate


def weights_int8(w, axis):
    """Symmetric, one scale for each slice along `axis` → integers, scale (shaped to multiply `w`)."""
    others = tuple(i for i in range(w.ndim) if i != axis)
    scale = np.abs(w).max(axis=others, keepdims=True) / LARGEST
    return np.rint(w / scale).astype(np.int64), scale


def activations_uint8(x, low, high):
    """Affine over [low, high], zero among it → integers, scale, zero point."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = int(np.rint(-low / scale))
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.int64), scale, zero


def integer_product(x, w, b, low, high):
    """What an int8 layer computes: `x` (…, depth), `w` (depth, out)."""
    wq, ws = weights_int8(w, axis=1)
    xq, xs, zero = activations_uint8(x, low, high)
    return ((xq - zero) @ wq) * (xs * ws[0]) + b, xs * ws[0]


def dense_oracle(x, low, high):
    return integer_product(x, DENSE["w"], DENSE["b"], low, high)


def conv_oracle(x, low, high):
    """Zero padding is exact: the zero point stands for it."""
    w = CONV["w"].reshape(3, -1).T
    wq, ws = weights_int8(w, axis=1)
    xq, xs, zero = activations_uint8(x, low, high)
    result = (columns(xq - zero) @ wq) * (xs * ws[0]) + CONV["b"]
    return result.transpose(0, 3, 1, 2), (xs * ws[0])[:, None, None]


def float_output(kind, x):
    if kind == "gemm":
        return x @ DENSE["w"] + DENSE["b"]
    return (columns(x) @ CONV["w"].reshape(3, -1).T + CONV["b"]).transpose(0, 3, 1, 2)


LAYERS = {"gemm": (gemm, (8,), dense_oracle), "conv": (conv, (2, 6, 6), conv_oracle)}


def assert_within_a_step(found, expected, steps, exact=0.99):
    """Rounding halves either way may move a result by a step of its input or output, and rarely does."""
    error = np.abs(found - expected)
    assert (error <= steps).all(), f"{(error / steps).max():.2f} steps off"
    assert np.mean(error <= 1e-4 + 1e-4 * np.abs(expected)) >= exact


@pytest.mark.parametrize("kind", LAYERS)
def test_dynamic_int8_computes_what_numpy_computes(kind, tmp_path):
    """Activation ranges are those of the batch at hand."""
    make, shape, oracle = LAYERS[kind]
    per_channel = kind == "gemm"  # ConvInteger has one weight scale
    parent = make(tmp_path / "f")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in parent.folder.iterdir())
    artifact, about = tiny.build(
        "quantize/dynamic",
        parent,
        tmp_path / "q",
        context(shape, None),
        per_channel=per_channel,
    )
    assert about["low_precision_flops_share"] == 1.0
    assert about["low_precision_weight_share"] == 1.0
    after = sorted((path.name, path.stat().st_mtime_ns) for path in parent.folder.iterdir())
    assert after == before, "the step wrote into its parent's Artifact"
    for seed in range(3):
        x = samples(shape, 5, seed) * (1 + seed)
        found = run(artifact, x)
        if per_channel:
            expected, step = oracle(x, x.min(), x.max())
            largest = LARGEST
        else:
            w = CONV["w"]
            scale = np.abs(w).max() / LARGEST
            xq, xs, zero = activations_uint8(x, x.min(), x.max())
            product = columns(xq - zero) @ np.rint(w / scale).astype(np.int64).reshape(3, -1).T
            expected, step, largest = (
                (product * xs * scale + CONV["b"]).transpose(0, 3, 1, 2),
                xs * scale,
                LARGEST,
            )
        assert_within_a_step(found, expected, step * largest, exact=0.9)


@pytest.mark.parametrize("kind", LAYERS)
def test_static_int8_computes_what_numpy_computes(kind, tmp_path):
    """Ranges are those of the calibration samples; the output is rounded to 8 bits of its own range."""
    make, shape, oracle = LAYERS[kind]
    calibration = samples(shape, 64, seed=9)
    artifact, about = tiny.build(
        "quantize/static",
        make(tmp_path / "f"),
        tmp_path / "q",
        context(shape, Data((calibration,))),
        calibration=CALIBRATION,
    )
    assert about["calibration_samples"] == 64
    assert about["low_precision_flops_share"] == 1.0
    inner_low, inner_high = calibration.min(), calibration.max()
    outer = float_output(kind, calibration)
    x = samples(shape, 16, seed=10) * 1.2  # some values are outside the range and clipped
    expected, _ = oracle(x, inner_low, inner_high)
    rounded, out_scale, zero = activations_uint8(expected, outer.min(), outer.max())
    found = run(artifact, x)
    assert np.abs(found - (rounded - zero) * out_scale).max() <= 1.01 * out_scale
    assert np.mean(np.abs(found - (rounded - zero) * out_scale) <= 0.01 * out_scale) > 0.95
    np.testing.assert_allclose(run(artifact, x, "all"), found, atol=2.01 * out_scale)


@pytest.mark.parametrize("method", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_every_layer_of_an_exported_module_is_quantized_and_outputs_stay_near(name, method, tmp_path):
    specs = tiny.INPUTS[name]
    data = tiny.training(specs)
    exported, _ = tiny.build(
        "export-onnx", tiny.source(name, tmp_path / "m"), tmp_path / "f", tiny.Context(specs)
    )
    config = {"calibration": CALIBRATION} if method == "static" else {}
    artifact, about = tiny.build(
        f"quantize/{method}", exported, tmp_path / "q", tiny.Context(specs, data), **config
    )
    assert set(LOW_PRECISION) <= set(about)  # the columns of a Record are filled by these names
    assert about["low_precision_flops_share"] == 1.0
    assert about["float_operators"] == {}
    assert sum(about["integer_operators"].values()) == {"dense": 2, "conv": 3}[name]
    assert about["low_precision_weight_share"] == 1.0
    assert about["quantize_nodes"] > 0
    (x,) = tiny.samples(specs, 32, seed=4)
    found, expected = run(artifact, x, "all"), run(exported, x, "all")
    assert np.abs(found - expected).max() < 0.06 * np.ptp(expected)
    assert np.abs(found - expected).max() > 0
    size = [a.file(onnx_graph.MODEL).stat().st_size for a in (artifact, exported)]
    assert size[0] != size[1]


# ------------------------------------------------------------------ what was quantized


def test_a_graph_without_dense_or_convolution_is_refused(tmp_path):
    def relu(folder):
        return write(folder, [helper.make_node("Relu", ["x"], ["y"])], [8], [8], {})

    says = "nothing was quantized: the graph has no dense or convolution operator"
    data = Data((samples((8,), 64),))
    for method, config in (("static", {"calibration": CALIBRATION}), ("dynamic", {})):
        with pytest.raises(BuildError, match=says):
            tiny.build(
                f"quantize/{method}",
                relu(tmp_path / f"f{method}"),
                tmp_path / method,
                context((8,), data),
                **config,
            )


def test_a_graph_whose_operators_were_not_asked_for_is_refused_by_their_names(tmp_path):
    with pytest.raises(BuildError, match="nothing was quantized: the graph has only Conv in float"):
        tiny.build(
            "quantize/dynamic",
            conv(tmp_path / "f"),
            tmp_path / "q",
            context((2, 6, 6), None),
            operators=["MatMul"],
        )


# ------------------------------------------------------------------ calibration data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "there is no training data"),
        (Data((samples((7,), 64),)), r"calibration data: input 'x' has samples of shape \(7,\), not \(8,\)"),
        (Data((samples((8,), 64).astype(np.float64),)), "input 'x' has dtype float64, not float32"),
        (Data((np.full((64, 8), np.nan, np.float32),)), "input 'x' contains NaN or infinity"),
        (Data((samples((8,), 64), samples((8,), 64))), "2 arrays for 1 inputs"),
    ],
)
def test_calibration_data_that_does_not_fit_is_told(data, says, tmp_path):
    with pytest.raises(BuildError, match=says):
        tiny.build(
            "quantize/static",
            gemm(tmp_path / "f"),
            tmp_path / "q",
            context((8,), data),
            calibration=CALIBRATION,
        )


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_every_calibration_method_works_and_follows_the_seed(method, tmp_path):
    """The samples are drawn with the seed; a batch that does not divide them is no trouble."""
    data = Data((samples((8,), 200),))
    models = []
    for i, seed in enumerate((0, 0, 1)):
        artifact, about = tiny.build(
            "quantize/static",
            gemm(tmp_path / f"f{i}"),
            tmp_path / f"q{i}",
            context((8,), data, seed=seed),
            calibration={"samples": 50, "batch": 16, "method": method},
        )
        assert about["calibration_samples"] == 50
        models.append(artifact.file(onnx_graph.MODEL).read_bytes())
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_the_whole_of_the_calibration_samples_is_seen(tmp_path):
    """One outlier in the last, incomplete batch must widen the range."""
    data = samples((8,), 20)
    data[-1, 0] = 100.0
    artifact, _ = tiny.build(
        "quantize/static",
        gemm(tmp_path / "f"),
        tmp_path / "q",
        context((8,), Data((data,))),
        calibration={"samples": 20, "batch": 16},
    )
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith("_scale")}
    assert float(scales["x_scale"]) == pytest.approx((100.0 - float(data.min())) / 255, rel=1e-3)


# ------------------------------------------------------------------ 7 bits where 8 could saturate


@pytest.mark.parametrize("feature", sorted(SAFE_DOT_PRODUCTS))
def test_a_processor_with_a_safe_dot_product_needs_no_reduced_range(feature):
    assert not needs_reduced_range(Target(1), frozenset({"avx2", feature}))


def test_other_processors_need_it_and_gpus_do_not():
    assert needs_reduced_range(Target(1), frozenset({"avx2", "avx512f"}))
    assert needs_reduced_range(Target(1), frozenset())
    assert not needs_reduced_range(Target(1, "cuda"), frozenset())


def weight_range(artifact):
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    arrays = [numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 2]
    return max(int(np.abs(array.astype(int)).max()) for array in arrays)


@pytest.mark.parametrize("method", ["static", "dynamic"])
@pytest.mark.parametrize(
    ("given", "features", "reduced"),
    [
        ("auto", {"avx512_vnni"}, False),
        ("auto", {"avx2"}, True),
        (True, {"avx512_vnni"}, True),
        (False, {"avx2"}, False),
    ],
)
def test_auto_follows_the_processor_and_a_word_of_the_user_counts_more(
    method, given, features, reduced, tmp_path
):
    config = {"calibration": CALIBRATION} if method == "static" else {}
    artifact, about = tiny.build(
        f"quantize/{method}",
        gemm(tmp_path / "f"),
        tmp_path / "q",
        context((8,), Data((samples((8,), 64),)), cpu_features=frozenset(features)),
        reduce_range=given,
        **config,
    )
    assert about["reduced_range"] is reduced
    assert weight_range(artifact) in ({63, 64} if reduced else {127, 128})


def test_auto_does_not_saturate_on_the_processor_that_runs_this(tmp_path):
    """Weights and activations at the ends of their ranges: integer kernels must agree with float ones."""
    from harness.devices.fingerprint import fingerprint

    features = frozenset(fingerprint().identity.isa)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    signs = np.where(np.arange(64 * 8).reshape(64, 8) % 3 == 0, -1, 1).astype(np.float32)
    source = write(tmp_path / "f", nodes, [64], [8], {"w": signs})
    x = np.concatenate([np.ones((4, 64), np.float32), samples((64,), 60)])
    about = context((64,), Data((x,)), cpu_features=features)
    static, _ = tiny.build("quantize/static", source, tmp_path / "s", about, calibration=CALIBRATION)
    dynamic, _ = tiny.build("quantize/dynamic", source, tmp_path / "d", about)
    exact = x @ signs
    for artifact in (static, dynamic):
        assert np.abs(run(artifact, x, "all") - exact).max() < 0.03 * np.ptp(exact)
