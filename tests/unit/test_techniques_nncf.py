"""NNCF's quantization: held against numpy, and against what the OpenVINO model that runs really holds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from pydantic import ValidationError

from harness.analysis.records.columns import LOW_PRECISION
from harness.errors import BuildError
from harness.formats import openvino as openvino_files
from harness.formats.low_precision.openvino import _Layer, report
from harness.formats.target import Target
from harness.runtimes.registry import RUNTIMES
from harness.techniques.quantize.nncf_weights import NncfWeights
from harness.zoo.registry import Data

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")
from openvino import opset13 as op  # noqa: E402

CALIBRATION = {"samples": 64, "batch": 16, "method": "minmax"}
BATCH = 16
RNG = np.random.default_rng(5)
WEIGHTS = (RNG.standard_normal((8, 64)) * RNG.uniform(0.1, 3, (8, 1))).astype(np.float32)  # (out, in)
BIAS = RNG.standard_normal(8).astype(np.float32)
SPEC = (tiny.TensorSpec(name="x", shape=(64,)),)


def samples(count, seed=1, shape=(64,)):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def written(folder, outputs, inputs):
    folder.mkdir(parents=True)
    openvino_files.save_model(openvino.Model(outputs, inputs, "g"), folder)
    return tiny.Artifact("g", openvino_files.IR_FORMAT, folder)


def dense(folder):
    x = op.parameter([-1, 64], np.float32, name="x")
    product = op.matmul(x, op.constant(WEIGHTS), False, True)
    return written(folder, [op.add(product, op.constant(BIAS[None]))], [x])


def context(data=None, inputs=SPEC, **about):
    return tiny.Context(inputs, data, target=Target(batch=BATCH, threads=1), **about)


def run(artifact, folder, x, inputs=SPEC):
    blob, _ = tiny.build("compile-openvino", artifact, folder, context(inputs=inputs))
    entry = RUNTIMES.get("openvino")
    return entry.open_session(entry.config(), blob, Target(BATCH, threads=1)).run([x])[0]


def constants(artifact):
    model = openvino_files.read_model(artifact.file(openvino_files.XML))
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]


def stored(artifact):
    """The weights' integers."""
    kinds = {"i8": np.int8, "u8": np.uint8, "i4": np.int8, "u4": np.uint8}
    found = [
        c for c in constants(artifact) if c.get_element_type().to_string() in kinds and len(c.shape) >= 2
    ]
    (weights,) = [c for c in found if np.prod(c.shape) == WEIGHTS.size]
    return weights.get_element_type().to_string(), weights


def rounded(x, scale, zero=0.0, low=-128, high=127):
    return (np.clip(np.rint(x / scale) + zero, low, high) - zero) * scale


# ------------------------------------------------------------------ static int8


@pytest.mark.parametrize(("features", "largest"), [({"avx512_vnni"}, 127), ({"avx2"}, 64)])
def test_static_int8_computes_what_numpy_computes(features, largest, tmp_path):
    """Weights have a scale for each output; where 8 bits could saturate they have 7."""
    calibration = samples(64, seed=9)
    artifact, about = tiny.build(
        "quantize/nncf-static",
        dense(tmp_path / "f"),
        tmp_path / "q",
        context(Data((calibration,)), cpu_features=frozenset(features)),
        calibration=CALIBRATION,
        bias_correction="none",
        preset="mixed",
    )
    assert about["reduced_range"] is (largest == 64)
    assert about["calibration_samples"] == 64
    kind, weights = stored(artifact)
    assert kind == "i8"
    assert np.abs(weights.data.astype(int)).max() in ({127} if largest == 127 else {63, 64})
    scale = np.abs(WEIGHTS).max(axis=1, keepdims=True) / np.abs(weights.data.astype(int)).max()
    low, high = calibration.min(), calibration.max()
    step = (high - low) / 255
    x = samples(BATCH, seed=10)
    data = rounded(x, step, np.rint(-low / step), 0, 255)
    expected = data @ rounded(WEIGHTS, scale).T + BIAS
    found = run(artifact, tmp_path / "b", x)
    exact = x @ WEIGHTS.T + BIAS
    assert np.abs(found - expected).max() < 0.02 * np.ptp(exact)
    assert 0 < np.abs(found - exact).max() < 0.05 * np.ptp(exact)


@pytest.mark.parametrize("name", ["dense", "conv", "two_inputs"])
@pytest.mark.parametrize("bias_correction", ["none", "fast", "full"])
def test_every_layer_runs_in_integers_and_outputs_stay_near(name, bias_correction, tmp_path):
    specs = tiny.INPUTS[name]
    exported, _ = tiny.build(
        "export-onnx", tiny.source(name, tmp_path / "m"), tmp_path / "o", context(inputs=specs)
    )
    ir, _ = tiny.build("convert-openvino", exported, tmp_path / "f", context(inputs=specs))
    artifact, about = tiny.build(
        "quantize/nncf-static",
        ir,
        tmp_path / "q",
        context(tiny.training(specs), specs),
        calibration=CALIBRATION,
        bias_correction=bias_correction,
    )
    assert about["float_operators"] == about["weight_only_operators"] == {}
    assert about["low_precision_flops_share"] == about["low_precision_weight_share"] == 1.0
    assert about["qdq_pairs"] > 0
    blob, _ = tiny.build("compile-openvino", artifact, tmp_path / "b", context(inputs=specs))
    entry = RUNTIMES.get("openvino")
    session = entry.open_session(entry.config(), blob, Target(BATCH, threads=1))
    ran = [node.get_rt_info() for node in session.compiled.get_runtime_model().get_ordered_ops()]
    products = [n for n in ran if n["layerType"].value in ("Convolution", "FullyConnected", "MatMul")]
    assert len(products) == sum(about["integer_operators"].values())
    assert {n["runtimePrecision"].value for n in products} <= {"i8", "u8"}
    x = tiny.samples(specs, BATCH, seed=4)
    expected = tiny.eager(tiny.source(name, tmp_path / "again"), x)[0]
    error = np.abs(session.run(x)[0] - expected).max()
    assert 0 < error < 0.1 * np.ptp(expected)


def test_ranges_come_from_the_samples_as_the_method_says(tmp_path):
    data = samples(64) * 3
    expected = {"minmax": data.max(), "mean-minmax": data.max(axis=1).mean()}
    largest = {}
    for method in (*expected, "histogram"):
        artifact, _ = tiny.build(
            "quantize/nncf-static",
            dense(tmp_path / f"f-{method}"),
            tmp_path / f"q-{method}",
            context(Data((data,))),
            calibration={**CALIBRATION, "method": method},
            preset="mixed",
        )
        largest[method] = max(float(c.data.max()) for c in constants(artifact) if np.prod(c.shape) == 1)
    for method, value in expected.items():
        assert largest[method] == pytest.approx(value, rel=0.02)
    assert 0 < largest["histogram"] <= largest["minmax"] * 1.02


def test_calibration_follows_the_seed_and_its_faults_are_told(tmp_path):
    ranges = []
    for i, seed in enumerate((0, 0, 1)):
        artifact, _ = tiny.build(
            "quantize/nncf-static",
            dense(tmp_path / f"f{i}"),
            tmp_path / f"q{i}",
            context(Data((samples(200),)), seed=seed),
            calibration={"samples": 50, "batch": 16},
        )
        ranges.append([float(c.data.max()) for c in constants(artifact) if np.prod(c.shape) == 1])
    assert ranges[0] == ranges[1] != ranges[2]


# ------------------------------------------------------------------ accuracy kept


def accuracy_aware(folder, labels, drop):
    specs = tiny.IMAGE
    exported, _ = tiny.build(
        "export-onnx", tiny.source("conv", folder / "m"), folder / "o", context(inputs=specs)
    )
    ir, _ = tiny.build("convert-openvino", exported, folder / "f", context(inputs=specs))
    x = tiny.samples(specs, 264)
    truth = tiny.eager(tiny.source("conv", folder / "again"), x)[0].argmax(axis=1) if labels else None
    return tiny.build(
        "quantize/nncf-accuracy",
        ir,
        folder / "q",
        context(Data(x, truth), specs),
        calibration={**CALIBRATION, "method": "mean-minmax"},
        validation_samples=200,
        max_drop=drop,
    )[1]


@pytest.mark.parametrize("labels", [True, False])
def test_a_drop_that_may_be_is_kept_to(labels, tmp_path):
    free, bound = (accuracy_aware(tmp_path / str(drop), labels, drop) for drop in (0.9, 0.05))
    assert free["validation_metric"] == ("top-1" if labels else "agreement")
    assert free["validation_float"] == bound["validation_float"] == 1.0
    assert free["low_precision_flops_share"] == 1.0
    assert free["validation_quantized"] < 0.95 <= bound["validation_quantized"]
    assert 0 < bound["low_precision_flops_share"] < 1
    assert bound["float_operators"]


def of_fixed_batch(folder, size=10):
    """As from an ONNX file whose batch is a number."""
    x = op.parameter([size, 64], np.float32, name="x")
    return written(folder, [op.matmul(x, op.constant(WEIGHTS), False, True)], [x])


FIXED = {
    "nncf-static": {"calibration": CALIBRATION},
    "nncf-accuracy": {"calibration": CALIBRATION, "validation_samples": 64, "max_drop": 0.5},
    "nncf-weights": {
        "dtype": "int4_sym", "group_size": 32, "all_layers": True, "awq": True, "scale_estimation": True,
        "calibration": {"samples": 64, "batch": 1},
    },
}  # fmt: skip


@pytest.mark.parametrize("method", FIXED)
def test_a_graph_of_a_fixed_batch_is_given_whole_ones(method, tmp_path):
    about = context(Data((samples(200),)))
    step = f"quantize/{method}"
    _, told = tiny.build(step, of_fixed_batch(tmp_path / "f"), tmp_path / "q", about, **FIXED[method])
    assert {told[name] for name in ("calibration_samples", "validation_samples") if name in told} <= {60}
    with pytest.raises(BuildError, match="64 samples do not fill a batch: the graph takes 65 at once"):
        tiny.build(step, of_fixed_batch(tmp_path / "g", 65), tmp_path / "r", about, **FIXED[method])


# ------------------------------------------------------------------ weights alone


def blocks_of(size):
    """Weights by group, (out, groups, size)."""
    return WEIGHTS.reshape(len(WEIGHTS), -1, WEIGHTS.shape[1] if size == -1 else size)


def symmetric(size, bits):
    """The element farthest from zero sets the scale, with its sign: it becomes the most negative integer."""
    parts, largest = blocks_of(size), 2 ** (bits - 1)
    low, high = parts.min(axis=-1, keepdims=True), parts.max(axis=-1, keepdims=True)
    scale = np.where(-low >= high, -low, -high) / largest
    return rounded(parts, scale, 0, -largest, largest - 1).reshape(WEIGHTS.shape)


def asymmetric(size, bits):
    parts, most = blocks_of(size), 2**bits - 1
    low = np.minimum(parts.min(axis=-1, keepdims=True), 0)
    scale = (np.maximum(parts.max(axis=-1, keepdims=True), 0) - low) / most
    zero = np.clip(np.rint(-low / scale), 0, most)
    return rounded(parts, scale, zero, 0, most).reshape(WEIGHTS.shape)


@pytest.mark.parametrize(
    ("dtype", "size", "kind", "oracle"),
    [
        ("int8_sym", None, "i8", symmetric),
        ("int8_asym", None, "u8", asymmetric),
        ("int4_sym", 32, "i4", symmetric),
        ("int4_asym", 16, "u4", asymmetric),
        ("int4_asym", -1, "u4", asymmetric),
    ],
)
def test_compressed_weights_compute_what_numpy_computes(dtype, size, kind, oracle, tmp_path):
    config = {"group_size": size, "all_layers": True} if size else {}
    artifact, about = tiny.build(
        "quantize/nncf-weights", dense(tmp_path / "f"), tmp_path / "q", context(), dtype=dtype, **config
    )
    assert about["weight_only_operators"] == {"MatMul": 1}
    assert about["weight_only_flops_share"] == about["low_precision_weight_share"] == 1.0
    assert about["low_precision_flops_share"] == 0.0
    assert about["qdq_pairs"] == 0
    assert stored(artifact)[0] == kind
    x = samples(BATCH, seed=10)
    expected = x @ oracle(size or -1, int(kind[1:])).T + BIAS
    exact = x @ WEIGHTS.T + BIAS
    found = run(artifact, tmp_path / "b", x)
    error = np.abs(found - expected).max()
    assert error < 0.1 * np.abs(exact - expected).max(), "nearer to the oracle than to float"


def test_the_last_layer_keeps_8_bits_unless_told(tmp_path):
    x = op.parameter([-1, 64], np.float32, name="x")
    first = op.matmul(x, op.constant(RNG.standard_normal((64, 64)).astype(np.float32)), False, True)
    two = written(tmp_path / "t", [op.matmul(first, op.constant(WEIGHTS), False, True)], [x])
    config = {"dtype": "int4_sym", "group_size": 32}
    artifact, _ = tiny.build("quantize/nncf-weights", two, tmp_path / "q", context(), **config)
    assert stored(artifact)[0] == "u8"
    assert "i4" in {constant.get_element_type().to_string() for constant in constants(artifact)}
    with pytest.raises(BuildError, match=r"no layer would be in 4 bits: .* last layer stay in 8"):
        tiny.build("quantize/nncf-weights", dense(tmp_path / "f"), tmp_path / "r", context(), **config)


def test_a_product_whose_scale_is_taken_into_it_is_counted_by_its_kernel(tmp_path):
    """A graph of ONNX Runtime's static step: what is quantized does not stand right before the head."""
    specs = tiny.INPUTS["conv"]
    about = tiny.Context(specs, tiny.training(specs), target=Target(batch=BATCH, threads=1))
    source, _ = tiny.build("export-onnx", tiny.source("conv", tmp_path / "m"), tmp_path / "o", about)
    made, _ = tiny.build("quantize/static", source, tmp_path / "q", about, calibration={"samples": 64})
    ir, _ = tiny.build("convert-openvino", made, tmp_path / "i", about)
    told = _compiled(ir, tmp_path / "b", about)
    kernels = told["compute_dtype"].partition("(")[2].strip(")").split(", ")
    assert all(kernel.lower().endswith("i8") for kernel in kernels), kernels
    assert told["flops_by_type"] == {"int8": 1.0}
    assert told["integer_operators"] == {"Convolution": 2, "MatMul": 1}


def test_training_data_may_choose_the_scales(tmp_path):
    outputs = []
    x = samples(BATCH, seed=10)
    for i, estimate in enumerate((False, True)):
        artifact, _ = tiny.build(
            "quantize/nncf-weights",
            dense(tmp_path / f"f{i}"),
            tmp_path / f"q{i}",
            context(Data((samples(128),))),
            dtype="int4_asym",
            group_size=32,
            all_layers=True,
            scale_estimation=estimate,
        )
        outputs.append(run(artifact, tmp_path / f"b{i}", x))
    exact = x @ WEIGHTS.T + BIAS
    assert not np.array_equal(outputs[0], outputs[1])
    for output in outputs:
        assert np.abs(output - exact).max() < 0.06 * np.ptp(exact)


def test_a_group_that_does_not_divide_is_told(tmp_path):
    with pytest.raises(
        BuildError, match=r"group_size 48 does not divide these layers' inputs.*MatMul"
    ) as told:
        tiny.build(
            "quantize/nncf-weights",
            dense(tmp_path / "f"),
            tmp_path / "q",
            context(),
            dtype="int4_sym",
            group_size=48,
            all_layers=True,
        )
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"dtype": "int8_sym", "group_size": 64}, "group_size: for int4_sym and int4_asym, not for int8_sym"),
        ({"awq": True}, "awq: for int4_sym and int4_asym, not for int8_asym"),
        ({"dtype": "int4_sym", "group_size": 0}, "group_size: 0; allowed: -1, or 1 and more"),
        ({"dtype": "int4_sym", "ratio": 0}, "greater than 0"),
        (
            {"calibration": {"samples": 9}},
            "calibration: for awq and scale_estimation, neither of which is set",
        ),
        ({"dtype": "int4_sym", "calibration": {"samples": 9}}, "calibration: for awq and scale_estimation"),
    ],
)
def test_settings_that_would_not_count_are_refused(config, says):
    with pytest.raises(ValidationError, match=says):
        NncfWeights(**config)


def test_settings_may_be_written_out_and_read_again():
    """As they are on their way to the build worker."""
    for config in (
        NncfWeights(),
        NncfWeights(dtype="int4_sym", group_size=64),
        NncfWeights(**FIXED["nncf-weights"]),
    ):
        assert NncfWeights.model_validate(config.model_dump(mode="json")) == config


# ------------------------------------------------------------------ what was quantized


@pytest.mark.parametrize("step", ["nncf-static", "nncf-weights"])
def test_a_model_without_dense_or_convolution_is_refused(step, tmp_path):
    x = op.parameter([-1, 64], np.float32, name="x")
    config = {"calibration": CALIBRATION} if step == "nncf-static" else {}
    with pytest.raises(BuildError, match="nothing was quantized: the model has no dense or convolution"):
        tiny.build(
            f"quantize/{step}",
            written(tmp_path / "f", [op.relu(x)], [x]),
            tmp_path / "q",
            context(Data((samples(64),))),
            **config,
        )


def test_what_was_compiled_has_the_last_word_on_low_precision(tmp_path):
    """An ONNX graph in float16 runs in float32, whatever the step that made it reports."""
    source = dense(tmp_path / "f")
    assert set(tiny.build("compile-openvino", source, tmp_path / "a", context())[1]) == {"batch"}
    told = ({"step": "precision/fp16", "details": {"low_precision_weight_share": 1.0}},)
    lowered = tiny.Artifact("g", openvino_files.IR_FORMAT, source.folder, steps=told)
    _, about = tiny.build("compile-openvino", lowered, tmp_path / "b", context())
    assert about["low_precision_flops_share"] == about["low_precision_weight_share"] == 0.0
    assert about["float_operators"] == {"MatMul": 1}
    quantized, _ = tiny.build(
        "quantize/nncf-static", source, tmp_path / "q", context(Data((samples(64),))), calibration=CALIBRATION
    )
    integers = tiny.Artifact("q", openvino_files.IR_FORMAT, quantized.folder, steps=told)
    _, about = tiny.build("compile-openvino", integers, tmp_path / "c", context())
    assert about["integer_operators"] == {"MatMul": 1}
    assert about["low_precision_flops_share"] == about["low_precision_weight_share"] == 1.0
    assert about["flops_by_type"] == {"int8": 1.0} and about["compute_dtype"].startswith("int8 (")
    assert set(LOW_PRECISION) <= set(about)


def test_compressed_weights_are_told_to_compute_in_float_by_the_kernel_that_runs(tmp_path):
    source, _ = tiny.build("quantize/nncf-weights", dense(tmp_path / "f"), tmp_path / "q", context())
    told = (
        {"step": "quantize/dynamic", "details": {"low_precision_weight_share": 1.0, "compute_dtype": "x"}},
    )
    lowered = tiny.Artifact("g", openvino_files.IR_FORMAT, source.folder, steps=told)
    _, about = tiny.build("compile-openvino", lowered, tmp_path / "b", context())
    assert about["flops_by_type"] == {"float32": 1.0}
    assert about["weight_only_operators"] == {"MatMul": 1}
    assert about["compute_dtype"].startswith("float32 (") and "overhead_operators" in about


def test_rounding_what_comes_in_is_overhead_and_converting_tokens_is_not(tmp_path):
    """The first is a kernel of its own before the product; the second a float model has as well."""
    data = context(Data((samples(64),)))
    made, _ = tiny.build(
        "quantize/nncf-static", dense(tmp_path / "f"), tmp_path / "q", data, calibration=CALIBRATION
    )
    assert _compiled(made, tmp_path / "a", data)["overhead_operators"] == {"FakeQuantize": 1}
    ids = op.parameter([-1, 5], np.int64, name="ids")
    rows = op.gather(op.constant(WEIGHTS), ids, op.constant(np.int64(0)))
    looked_up = written(tmp_path / "g", [op.matmul(rows, op.constant(WEIGHTS), False, True)], [ids])
    spec = (tiny.TensorSpec(name="ids", shape=(5,), dtype="int64", high=8),)
    made, _ = tiny.build("quantize/nncf-weights", looked_up, tmp_path / "w", context(inputs=spec))
    assert _compiled(made, tmp_path / "b", context(inputs=spec))["overhead_operators"] == {}


def _compiled(made, folder, about):
    told = ({"step": "a step", "details": {"low_precision_weight_share": 1.0}},)
    lowered = tiny.Artifact("q", openvino_files.IR_FORMAT, made.folder, steps=told)
    return tiny.build("compile-openvino", lowered, folder, about)[1]


@pytest.mark.parametrize(
    ("made", "reads", "added"),
    [
        ("u8", "Input", "Convert"),
        ("i32", "Input", None),
        ("f32", "Input", None),
        ("f32", "Gather", "Convert"),
    ],
)
def test_a_conversion_of_what_comes_in_is_overhead_only_where_it_goes_to_eight_bits(made, reads, added):
    """Stand-ins for layers: which kernel converts an input follows the processor."""

    def layer(kind, sources):
        names = ("layerType", "primitiveType", "originalLayersNames", "runtimePrecision", "outputPrecisions")
        about = dict(zip(names, (kind, "jit", "Convert_7", "f32", made), strict=True))
        return SimpleNamespace(
            get_rt_info=lambda: {name: SimpleNamespace(value=value) for name, value in about.items()},
            get_input_size=lambda: len(sources),
            input_value=lambda i: SimpleNamespace(get_node=lambda: sources[i]),
        )

    assert _Layer(layer("Convert", [layer(reads, [])])).added({"x/fq"}) == added


def test_an_operator_that_the_device_runs_in_float_is_counted_so(tmp_path):
    from harness.formats.low_precision import openvino as openvino_counting

    artifact, _ = tiny.build(
        "quantize/nncf-static",
        dense(tmp_path / "f"),
        tmp_path / "q",
        context(Data((samples(64),))),
        calibration=CALIBRATION,
    )
    model = openvino_files.read_model(artifact.file(openvino_files.XML))
    names = {node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"}
    about = openvino_counting.count(model, dict.fromkeys(names, "float32"))
    assert about["integer_operators"] == {}
    assert about["weight_only_operators"] == {"MatMul": 1}
    assert about["low_precision_flops_share"] == 0.0


def test_shares_are_of_flops_and_of_bytes():
    """A 3 × 3 convolution over 8 × 8 in integers, a dense layer in float, another in weights alone."""
    x = op.parameter([-1, 2, 8, 8], np.float32, name="x")
    unit = [op.constant(np.float32(v)) for v in (0.0, 1.0, 0.0, 1.0)]
    kernel = op.multiply(
        op.convert(op.constant(np.ones((4, 2, 3, 3), np.int8)), "f32"),
        op.constant(np.full((4, 1, 1, 1), 0.1, np.float32)),
    )
    conv = op.convolution(op.fake_quantize(x, *unit, 256), kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    flat = op.reshape(conv, op.constant(np.array([-1, 256])), False)
    first = op.matmul(flat, op.constant(np.ones((256, 10), np.float32)), False, False)
    weights = op.multiply(
        op.convert(op.constant(np.ones((10, 10), np.uint8)), "f32"),
        op.constant(np.full((10, 1), 0.1, np.float32)),
    )
    model = openvino.Model([op.matmul(first, weights, False, True)], [x], "g")
    about = report(model, openvino.Model([op.relu(x)], [x], "s"))
    flops = {"integer": 2 * 4 * 64 * 18, "float": 2 * 10 * 256, "weight-only": 2 * 10 * 10}
    assert about["integer_operators"] == {"Convolution": 1}
    assert about["float_operators"] == about["weight_only_operators"] == {"MatMul": 1}
    assert about["low_precision_flops_share"] == pytest.approx(flops["integer"] / sum(flops.values()))
    assert about["weight_only_flops_share"] == pytest.approx(flops["weight-only"] / sum(flops.values()))
    assert about["low_precision_weight_share"] == pytest.approx((72 + 100) / (72 + 100 + 4 * 2560))
    assert about["qdq_pairs"] == 1
    assert about["overhead_operators"]["FakeQuantize"] == 1


# ------------------------------------------------------------------ graphs of encoders, and failures

SERIES = (tiny.TensorSpec(name="x", shape=(6, 16)),)
DENSE = {name: RNG.standard_normal((16, 16)).astype(np.float32) for name in ("first", "second")}


def positions(folder):
    """Rows looked up at constant positions are added to the inputs; two dense layers follow."""
    x = op.parameter([-1, 6, 16], np.float32, name="x")
    table = op.constant(RNG.standard_normal((512, 16)).astype(np.float32))
    rows = op.gather(table, op.constant(np.arange(6)[None]), op.constant(0))
    first = op.matmul(op.add(x, rows), op.constant(DENSE["first"]), False, True)
    first.set_friendly_name("first")
    second = op.matmul(op.relu(first), op.constant(DENSE["second"]), False, True)
    second.set_friendly_name("second")
    return written(folder, [second], [x])


def quantized(given, folder, **config):
    data = Data((samples(32, seed=9, shape=(6, 16)),))
    config = {"calibration": {"samples": 32, "batch": 16}, **config}
    return tiny.build("quantize/nncf-static", given, folder, context(data, SERIES), **config)


@pytest.mark.parametrize("transformer", [True, False])
def test_rows_at_constant_positions_are_computed_before_nncf_sees_them(transformer, tmp_path):
    """NNCF fails on such a node with a KeyError; encoders whose table has more rows than tokens have one."""
    given = positions(tmp_path / "f")
    made, about = quantized(given, tmp_path / "q", transformer=transformer)
    assert about["integer_operators"] == {"MatMul": 2}
    x = samples(BATCH, seed=10, shape=(6, 16))
    exact, found = (run(one, tmp_path / one.key, x, SERIES) for one in (given, made))
    assert (found * exact).sum() > 0.995 * np.sqrt((found**2).sum() * (exact**2).sum())


def test_nodes_under_exclude_stay_in_float(tmp_path):
    _, about = quantized(positions(tmp_path / "f"), tmp_path / "q", exclude=["second"])
    assert (about["integer_operators"], about["float_operators"]) == ({"MatMul": 1}, {"MatMul": 1})
    assert about["float_operator_names"] == ["MatMul second"]
    with pytest.raises(
        BuildError, match=r"exclude: 'secund' is the name of no layer or node; did you mean 'second'"
    ):
        quantized(positions(tmp_path / "g"), tmp_path / "r", exclude=["secund"])


def test_a_quantized_model_is_not_quantized_again(tmp_path):
    once, _ = quantized(positions(tmp_path / "f"), tmp_path / "q")
    with pytest.raises(
        BuildError, match=r"the model is quantized already \(\d FakeQuantize\).*give the float model"
    ):
        quantized(once, tmp_path / "r")


@pytest.mark.parametrize(("text", "named"), [("no such point", "second"), ("7 first", "first")])
def test_a_failure_inside_nncf_names_the_node_and_the_remedy(text, named, tmp_path, monkeypatch):
    """That which the message names, else the last one that NNCF handled."""
    import nncf
    from nncf.openvino.graph.nncf_graph_builder import GraphConverter

    def fail(model, *_args, **_settings):
        node = GraphConverter.create_nncf_graph(model).get_node_by_name("second")
        raise KeyError(text, node.node_id)

    monkeypatch.setattr(nncf, "quantize", fail)
    says = rf"^NNCF failed at node {named}: KeyError: .*{text}.*; name it under exclude to leave it as it is$"
    with pytest.raises(BuildError, match=says):
        quantized(positions(tmp_path / "f"), tmp_path / "q")
