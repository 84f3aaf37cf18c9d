"""Static int8 in every type of integers: held against numpy, ranges and their reasons among it."""

from __future__ import annotations

import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from layers import CONV, DENSE, columns, context, conv, gemm, run, samples, write
from pydantic import ValidationError

from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.techniques.quantize.calibration import Calibration
from harness.techniques.quantize.ort_static import StaticQuantize, resolve
from harness.techniques.quantize.ranges import resolve_range, resolve_types
from harness.techniques.quantize.static_graph import calibrate
from harness.zoo.registry import Data

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

CALIBRATION = {"samples": 64, "batch": 16}
VNNI, AVX2 = frozenset({"avx2", "avx512_vnni"}), frozenset({"avx2"})


def build(kind, folder, data, features=VNNI, **config):
    make, shape = {"gemm": (gemm, (8,)), "conv": (conv, (2, 6, 6))}[kind]
    about = context(shape, data, cpu_features=features)
    config = {"calibration": CALIBRATION, **config}
    return tiny.build("quantize/static", make(folder / "f"), folder / "q", about, **config)


def levels(types):
    """The lowest and highest integer of an activation."""
    return (0, 255) if types == "u8s8" else (-128, 127)


def activations(x, low, high, types):
    """Affine over [low, high], zero among it → integers less their zero point, scale."""
    least, most = levels(types)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = np.rint(least - low / scale)
    return np.clip(np.rint(x / scale) + zero, least, most) - zero, scale


def weights(w, largest, per_channel):
    """Symmetric → integers, scale of each column; `w` is (depth, out)."""
    farthest = np.abs(w).max(axis=0) if per_channel else np.full(w.shape[1], np.abs(w).max())
    scale = farthest / largest
    return np.rint(w / scale), scale


def layer(kind, x):
    """The layer as a product: rows, weight (depth, out), bias, and how the result is laid out."""
    if kind == "gemm":
        return x, DENSE["w"], DENSE["b"], lambda y: y
    return columns(x), CONV["w"].reshape(3, -1).T, CONV["b"], lambda y: y.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("kind", "types", "per_channel", "reduced"),
    list(itertools.product(["gemm", "conv"], ["u8s8", "s8s8"], [True, False], [True, False])),
)
def test_each_pair_of_dtypes_computes_what_numpy_does(kind, types, per_channel, reduced, tmp_path):
    """Run unfused, in float between the roundings, so that any processor computes it exactly."""
    calibration = samples((8,) if kind == "gemm" else (2, 6, 6), 64, seed=9)
    artifact, about = build(
        kind, tmp_path, Data((calibration,)), types=types, per_channel=per_channel, reduce_range=reduced
    )
    assert about["low_precision_flops_share"] == 1.0
    assert (about["types"], about["reduced_range"]) == (types, reduced)
    x = samples(calibration.shape[1:], 16, seed=10) * 1.2  # some values are outside the range and clipped
    rows, w, b, laid = layer(kind, x)
    seen, _, _, _ = layer(kind, calibration)
    integers, scale = activations(rows, calibration.min(), calibration.max(), types)
    wq, ws = weights(w, 64 if reduced else 127, per_channel)
    exact = seen @ w + b
    rounded, out_scale = activations((integers @ wq) * (scale * ws) + b, exact.min(), exact.max(), types)
    error = np.abs(run(artifact, x) - laid(rounded * out_scale)) / out_scale
    assert error.max() <= 1.01  # a rounding half either way
    assert np.mean(error <= 0.01) > 0.95


def pair_sums_saturate(largest_weight):
    """VPMADDUBSW: products of unsigned by signed bytes, added in pairs into 16 bits, clipped there."""
    activation, weight = np.full(2, 255), np.full(2, largest_weight)
    exact = int((activation * weight).sum())
    return exact != int(np.clip(exact, -32768, 32767))


def test_seven_bit_weights_cannot_saturate_and_eight_bit_weights_can():
    assert pair_sums_saturate(127)
    assert pair_sums_saturate(-128)
    assert not pair_sums_saturate(64)
    assert not pair_sums_saturate(-64)


# ------------------------------------------------------------------ ranges of activations


def activation_scale(artifact):
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return float(scales["x_scale"])


def with_outlier(value=50.0):
    data = np.abs(samples((8,), 500))
    data[7, 3] = value
    return data


def test_percentiles_leave_outliers_out_and_minmax_does_not(tmp_path):
    data = Data((with_outlier(),))
    found = {}
    for method in ("minmax", "percentile", "entropy"):
        calibration = {"samples": 500, "batch": 50, "method": method}
        calibration |= {"percentile": 99.0} if method == "percentile" else {}
        artifact, _ = build("gemm", tmp_path / method, data, calibration=calibration)
        found[method] = activation_scale(artifact)
    assert found["minmax"] == pytest.approx(50 / 255, rel=1e-3)
    assert found["percentile"] < 0.2 * found["minmax"]
    assert found["entropy"] < 0.5 * found["minmax"]


def test_a_percentile_without_its_method_would_do_nothing_and_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="percentile: for method percentile, not for minmax"):
        build("gemm", tmp_path, None, calibration={"samples": 8, "percentile": 99.0})


@pytest.mark.parametrize("percentile", [90.0, 99.0])
def test_the_percentile_is_that_of_the_values(percentile, tmp_path):
    """Half of what is cut lies at each end; none of the range is spent on values that never come."""
    data = np.abs(samples((8,), 500))
    calibration = {"samples": 500, "batch": 500, "method": "percentile", "percentile": percentile}
    artifact, _ = build("gemm", tmp_path, Data((data,)), calibration=calibration)
    highest = np.quantile(data, 1 - (100 - percentile) / 200)
    assert activation_scale(artifact) == pytest.approx(highest / 255, rel=0.02)


def dense(folder, side=64):
    """Three products and what is between them, as ONNX Runtime's calibrators take them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    weight = np.random.default_rng(2).standard_normal((side, side)).astype(np.float32) / 8
    return write(folder, nodes, [side], [side], {"w": weight}).file(onnx_graph.MODEL)


def all_at_once(path, method, batches, folder, **options):
    """The ranges as ONNX Runtime's calibrators find them with everything in memory."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    calibrator = create_calibrator(
        path,
        ["MatMul"],
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod[method],
        extra_options={"symmetric": False, **options},
    )
    left = iter(batches)
    calibrator.collect_data(SimpleNamespace(get_next=lambda: next(left, None)))
    return calibrator.compute_data()


@pytest.mark.parametrize(
    ("method", "name", "options"),
    [
        ("minmax", "MinMax", {}),
        ("percentile", "Percentile", {"num_bins": 2048, "percentile": 99.0}),
    ],
)
def test_ranges_found_batch_by_batch_are_those_of_all_samples_at_once(method, name, options, tmp_path):
    """The first batch spans a thousandth of the last: bins of its width would number two million."""
    path = dense(tmp_path / "f")
    batches = [{"x": samples((64,), 16, seed) * scale} for seed, scale in enumerate((1e-3, 1, 0.1, 3))]
    batches = [{"x": batch["x"].astype(np.float32)} for batch in batches]
    share = {"percentile": 99.0} if method == "percentile" else {}
    found = calibrate(path, Calibration(method=method, **share), batches)
    expected = all_at_once(path, name, batches, tmp_path, **options)
    compared = {"x", "a", "b", "c", "d", "y"}
    assert compared <= set(found.keys()) & set(expected.keys())
    for tensor in compared:
        for mine, theirs in zip(found[tensor].range_value, expected[tensor].range_value, strict=True):
            np.testing.assert_array_equal(np.ravel(mine), np.ravel(theirs))
        if method == "percentile":
            np.testing.assert_array_equal(found[tensor].hist, expected[tensor].hist)


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_the_memory_of_calibration_does_not_grow_with_the_samples(method, tmp_path):
    """All activations of 32 batches would be 32 × 6 × 128 KiB; bins and graphs take some hundred KiB."""
    path = dense(tmp_path / "f")
    batches = [{"x": samples((64,), 512, seed)} for seed in range(32)]
    peaks = []
    for count in (2, 2, 32):  # the first time also imports
        tracemalloc.start()
        calibrate(path, Calibration(method=method), batches[:count])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 6 * batches[0]["x"].nbytes


# ------------------------------------------------------------------ what follows the machine


def test_the_default_follows_the_machine_and_says_so(tmp_path):
    data = Data((samples((8,), 64),))
    words = {}
    for features in (VNNI, AVX2):
        _, about = build("gemm", tmp_path / str(len(features)), data, features)
        words[features] = about["compute_dtype"]
    assert words[VNNI] == "uint8 × int8, one weight scale per channel; weights in 8 bits"
    assert (
        "weights in 7 bits: without a dot product such as VNNI, 8-bit products can saturate here"
        in (words[AVX2])
    )


def test_eight_bits_that_could_saturate_are_the_users_word(tmp_path):
    data = Data((samples((8,), 64),))
    _, about = build("gemm", tmp_path, data, AVX2, reduce_range=False, types="s8s8", per_channel=False)
    assert about["compute_dtype"] == (
        "int8 × int8, one weight scale per tensor; "
        "weights in 8 bits, as requested: products can saturate here"
    )


def test_arms_activations_are_signed_by_default():
    assert resolve_types("auto", frozenset({"asimd", "asimddp"})) == "s8s8"
    assert resolve_types("auto", VNNI) == "u8s8"
    assert resolve_types("u8s8", frozenset({"asimd"})) == "u8s8"


def test_resolved_values_are_equal_for_equal_results():
    auto, told = StaticQuantize(), StaticQuantize(reduce_range=True)
    target = Target(1)
    assert resolve(auto, target, AVX2) == resolve(told, target, VNNI)
    assert resolve(auto, target, VNNI) != resolve(auto, target, AVX2)
    assert resolve_range(auto, target, AVX2) == {"reduce_range": True}


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((0, 8), np.float32), "calibration needs 64 samples; the training data has 0"),
        (samples((9,), 64), r"has samples of shape \(9,\), not \(8,\)"),
        (np.full((64, 8), np.inf, np.float32), "NaN or infinity"),
    ],
)
def test_calibration_data_that_does_not_fit(array, says, tmp_path):
    with pytest.raises(BuildError, match=says):
        build("gemm", tmp_path, Data((array,)))


def fixed_batch_graph(folder, batch):
    source = write(folder, [helper.make_node("MatMul", ["x", "w"], ["y"])], [8], [4], {"w": DENSE["w"]})
    model = onnx.load(str(source.file(onnx_graph.MODEL)))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, str(source.file(onnx_graph.MODEL)))
    return source


def test_a_graph_of_a_fixed_batch_is_calibrated_by_that_batch(tmp_path):
    about = context((8,), Data((samples((8,), 64),)))
    source = fixed_batch_graph(tmp_path / "f", 10)
    _, found = tiny.build("quantize/static", source, tmp_path / "q", about, calibration={"samples": 64})
    assert found["calibration_samples"] == 60  # six batches of ten
    with pytest.raises(BuildError, match="5 samples do not fill a batch: the graph takes 10 at once"):
        tiny.build("quantize/static", source, tmp_path / "r", about, calibration={"samples": 5})


def test_a_float64_graph_is_told_and_not_a_traceback(tmp_path):
    """ONNX Runtime's quantizer knows 32-bit floats."""
    source = write(
        tmp_path / "f", [helper.make_node("MatMul", ["x", "w"], ["y"])], [8], [4], {"w": DENSE["w"]}
    )
    model = onnx.load(str(source.file(onnx_graph.MODEL)))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(DENSE["w"].astype(np.float64), "w"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, str(source.file(onnx_graph.MODEL)))
    specs = tuple(onnx_graph.input_specs(model))
    about = tiny.Context(specs, Data((samples((8,), 64).astype(np.float64),)))
    with pytest.raises(BuildError):
        tiny.build("quantize/static", source, tmp_path / "q", about, calibration=CALIBRATION)


@pytest.mark.parametrize("method", ["static", "mixed"])
def test_an_operator_that_the_runtime_cannot_quantize_is_told(method, tmp_path):
    """It is written with QDQ pairs, but there is no integer kernel: the Cell would be int8 in name only."""
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up")
    source = write(tmp_path / "f", [node], [2, 6, 6], [3, 8, 8], {"w": np.ones((2, 3, 3, 3), np.float32)})
    about = context((2, 6, 6), Data((samples((2, 6, 6), 64),)))
    with pytest.raises(BuildError, match=r"no integer kernel for ConvTranspose|nothing was quantized"):
        tiny.build(f"quantize/{method}", source, tmp_path / "q", about, calibration=CALIBRATION)


@pytest.mark.parametrize("method", ["static", "dynamic", "weight-only", "mixed"])
def test_an_operator_that_the_runtime_does_not_know_is_told(method, tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Mystery", ["h"], ["y"], name="mystery", domain="of.somebody"),
    ]
    source = write(tmp_path / "f", nodes, [8], [4], {"w": DENSE["w"]})
    model = onnx.load(str(source.file(onnx_graph.MODEL)))
    model.opset_import.append(helper.make_opsetid("of.somebody", 1))
    onnx.save(model, str(source.file(onnx_graph.MODEL)))
    about = context((8,), Data((samples((8,), 64),)))
    config = {"calibration": CALIBRATION} if method in ("static", "mixed") else {}
    with pytest.raises(BuildError, match=r"of\.somebody"):
        tiny.build(f"quantize/{method}", source, tmp_path / "q", about, **config)


@pytest.mark.parametrize("far", [-1e9, np.finfo(np.float32).min, -np.inf])
@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_a_masks_minus_infinity_does_not_round_the_scores_beside_it_away(method, far, tmp_path):
    mask = np.where(np.triu(np.ones((4, 4)), 1), far, 0).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Add", ["scores", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["shares"]),
        helper.make_node("MatMul", ["shares", "v"], ["y"]),
    ]
    rng = np.random.default_rng(3)
    values = {
        name: rng.standard_normal(size).astype(np.float32) for name, size in (("w", (8, 4)), ("v", (4, 5)))
    }
    source = write(tmp_path / "f", nodes, (4, 8), (4, 5), {**values, "mask": mask})
    about = context((4, 8), Data((samples((4, 8), 64),)), cpu_features=VNNI)
    config = {"calibration": {**CALIBRATION, "method": method}}
    artifact, told = tiny.build("quantize/static", source, tmp_path / "q", about, **config)
    x = samples((4, 8), 16, seed=2)
    exact, found = run(source, x), run(artifact, x)
    bound = 0.5 if method == "entropy" else 0.1  # it cuts what is far
    assert np.abs(found - exact).max() < bound * np.abs(exact).max()
    assert told["integer_operators"] == {"MatMul": 2}
