"""Graphs as people have them: old opsets, batch norms, constants in nodes, weights that only a branch reads.

Each step for ONNX graphs takes them; what it makes computes nearly what the graph computes.
"""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from layers import run

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import read_by
from harness.formats.onnx.versions import modernized
from harness.formats.tensors import TensorSpec
from harness.zoo.registry import Data

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NODE, VALUE = helper.make_node, helper.make_tensor_value_info
STEPS = {
    "quantize/static": {"calibration": {"samples": 64}},
    "quantize/mixed": {"calibration": {"samples": 64}, "max_drop": None, "min_sqnr_db": 10.0},
    "quantize/dynamic": {},
    "quantize/weight-only": {"dtype": "int8", "block_size": 16},
    "precision/fp16/onnx": {},
}
IMAGE = (3, 8, 8)


def weights():
    """A convolution, the batch norm after it, and a dense layer."""
    rng = np.random.default_rng(7)
    normal = {
        "w": (8, 3, 3, 3),
        "shift": (8,),
        "mean": (8,),
        "v": (8, 4),
        "c": (4,),
        "gain": (4,),
        "lift": (4,),
    }
    found = {name: (rng.standard_normal(shape) * 0.3).astype(np.float32) for name, shape in normal.items()}
    found |= {name: rng.uniform(0.5, 2, 8).astype(np.float32) for name in ("factor", "variance")}
    return found | {"zero": np.array(0, np.float32)}


def nodes():
    """Operators that opset 9 writes as opset 13 does not: Squeeze has its axes in an attribute."""
    return [
        NODE("Conv", ["x", "w"], ["conv"], name="conv", pads=[1, 1, 1, 1]),
        NODE("BatchNormalization", ["conv", "factor", "shift", "mean", "variance"], ["norm"], name="norm"),
        NODE("Relu", ["norm"], ["relu"], name="relu"),
        NODE("GlobalAveragePool", ["relu"], ["pool"], name="pool"),
        NODE("Squeeze", ["pool"], ["flat"], name="flat", axes=[2, 3]),
        NODE("Gemm", ["flat", "v", "c"], ["y"], name="dense"),
    ]


def branching():
    """The dense layer's outputs, times `gain` or plus `lift` as the mean of the inputs is."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [NODE(op, ["dense", weight], [name])], name, [], [VALUE(name, TensorProto.FLOAT, ["batch", 4])]
        )
        for name, op, weight in (("then", "Mul", "gain"), ("else", "Add", "lift"))
    }
    return [
        *nodes()[:-2],
        NODE("Flatten", ["pool"], ["flat"], name="flat"),
        NODE("Gemm", ["flat", "v", "c"], ["dense"], name="dense"),
        NODE("ReduceMean", ["x"], ["bright"], name="bright", keepdims=0),
        NODE("Greater", ["bright", "zero"], ["choice"], name="choice"),
        NODE("If", ["choice"], ["y"], name="if", **branches),
    ]


def source(folder, made, opset=11, ir=6, *, constants=False, listed=False):
    """Save the graph as its source does; its weights in Constant nodes, or `listed` as inputs."""
    read = {name for node in made for name in read_by(node)}
    tensors = [numpy_helper.from_array(array, name) for name, array in weights().items() if name in read]
    inputs, outputs = (
        [VALUE("x", TensorProto.FLOAT, ["batch", *IMAGE])],
        [VALUE("y", TensorProto.FLOAT, ["batch", 4])],
    )
    if constants:
        made = [*(NODE("Constant", [], [t.name], value=t) for t in tensors), *made]
    if listed:
        inputs += [VALUE(t.name, t.data_type, t.dims) for t in tensors]
    graph = helper.make_graph(made, "g", inputs, outputs, [] if constants else tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    model, _ = modernized(model, [TensorSpec(name="x", shape=IMAGE)])
    folder.mkdir()
    onnx.save(model, str(folder / onnx_graph.MODEL))
    return Artifact("f", "onnx", folder)


def build(step, given, folder, **config):
    data = Data((np.concatenate([samples(32, 1, 0.5), samples(32, 2, -0.5)]),))
    context = tiny.Context((TensorSpec(name="x", shape=IMAGE),), data)
    made, about = tiny.build(step, given, folder, context, **{**STEPS[step], **config})
    return made, about, onnx_graph.load_checked(made.file(onnx_graph.MODEL))


def samples(count, seed, mean):
    return (np.random.default_rng(seed).standard_normal((count, *IMAGE)) + mean).astype(np.float32)


def assert_near(made, given):
    """Samples of a positive and of a negative mean, alone: each branch is taken."""
    for mean in (0.5, -0.5):
        x = samples(1, 3, mean)
        exact = run(given, x)
        assert np.abs(run(made, x, "all") - exact).max() < 0.05 * np.abs(exact).max() + 0.01


@pytest.mark.parametrize("step", STEPS)
def test_an_old_opset_is_converted_and_its_batch_norm_folded(step, tmp_path):
    """ONNX Runtime's own preprocessing: in OpenVINO and in the float Cell it is folded as well."""
    given = source(tmp_path / "f", nodes())
    made, _, model = build(step, given, tmp_path / "q")
    assert "BatchNormalization" not in onnx_graph.operators(model)
    (opset,) = [o.version for o in model.opset_import if o.domain == ""]
    assert opset == 13
    (value,) = model.graph.input  # a Session fixes the batch by its name
    assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == ["batch", *IMAGE]
    assert_near(made, given)
    assert onnx_graph.count_statistics(model)["parameters"] == 8 * 27 + 8 + 8 * 4 + 4  # the norm is the bias


def test_weights_that_an_old_file_lists_among_its_inputs_are_constants_all_the_same(tmp_path):
    given = source(tmp_path / "f", nodes(), opset=9, ir=3, listed=True)
    assert onnx_graph.count_statistics(onnx_graph.load_checked(given.file(onnx_graph.MODEL)))[
        "flops_per_sample"
    ] == 2 * (8 * 64 * 27 + 8 * 4)
    made, about, model = build("quantize/static", given, tmp_path / "q")
    assert (about["integer_operators"], about["float_operators"]) == ({"Conv": 1, "Gemm": 1}, {})
    assert [value.name for value in model.graph.input] == ["x"]
    assert_near(made, given)


def test_a_graph_that_its_source_could_not_convert_is_not_converted_by_a_step(tmp_path):
    """In opset 6, a batch norm is in training mode unless told otherwise; newer opsets have none."""
    given = source(tmp_path / "f", nodes(), opset=6, ir=3, listed=True)
    with pytest.raises(BuildError, match="the graph has opset 6, and quantizing needs 13: onnx could not"):
        build("quantize/static", given, tmp_path / "q")


@pytest.mark.parametrize("step", STEPS)
def test_weights_that_only_a_branch_reads_are_kept(step, tmp_path):
    given = source(tmp_path / "f", branching(), opset=17, ir=10)
    made, about, model = build(step, given, tmp_path / "q")
    assert {"gain", "lift"} <= {t.name for t in model.graph.initializer}
    assert about["float_operators"].get("Gemm", 0) == 0
    assert_near(made, given)


@pytest.mark.parametrize("step", STEPS)
def test_weights_in_constant_nodes_are_quantized_like_others(step, tmp_path):
    plain, _, _ = build(step, source(tmp_path / "f", nodes()), tmp_path / "q")
    given = source(tmp_path / "g", nodes(), constants=True)
    made, about, model = build(step, given, tmp_path / "r")
    assert about["low_precision_weight_share"] == (
        4 * 16 / (4 * 8 * 27 + 4 * 16) if step == "quantize/weight-only" else 1.0
    )
    assert_near(made, given)
    counted = onnx_graph.count_statistics(onnx_graph.load_checked(plain.file(onnx_graph.MODEL)))
    assert onnx_graph.count_statistics(model) == counted


def test_a_graph_in_half_precision_gets_no_casts_of_this_processor_before_its_weights_are_quantized(tmp_path):
    given = source(tmp_path / "f", nodes())
    half, _, before = build("precision/fp16/onnx", given, tmp_path / "h")
    casts = onnx_graph.operators(before)["Cast"]
    _, about, model = build("quantize/weight-only", half, tmp_path / "q")
    assert about["preparation"] == ["not optimized: weights are in 16 bits"]
    assert onnx_graph.operators(model)["Cast"] == casts


def test_a_graph_that_onnx_runtime_cannot_optimize_is_quantized_as_it_is_and_the_record_says_so(
    tmp_path, monkeypatch
):
    """ONNX Runtime's preprocessing only logs it. Its optimizer is the first to open a Session."""
    given = source(tmp_path / "f", nodes())
    session, opened = ort.InferenceSession, []

    def fail_once(*args, **options):
        opened.append(args)
        if len(opened) == 1:
            raise RuntimeError("no kernel")
        return session(*args, **options)

    monkeypatch.setattr(ort, "InferenceSession", fail_once)
    _, about, model = build("quantize/static", given, tmp_path / "q")
    assert about["preparation"] == [
        "not optimized: RuntimeError: no kernel",
    ]
    assert "BatchNormalization" in onnx_graph.operators(model)
