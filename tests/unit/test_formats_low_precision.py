"""What got quantized is counted in the graph: each kind of low precision, what was left, what was added."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tiny

from harness.errors import BuildError
from harness.formats.low_precision.onnx import report, weight_bytes
from harness.formats.onnx import graph as onnx_graph

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NODE, VALUE = helper.make_node, helper.make_tensor_value_info


def tensor(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def graph(nodes, weights, shape=("n", 4), out=("n", 4), kind=TensorProto.FLOAT):
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    content = helper.make_graph(nodes, "g", [VALUE("x", kind, shape)], [VALUE("y", kind, out)], weights)
    return helper.make_model(content, opset_imports=opsets)


SCALES = [tensor("s"), tensor("z", dtype=np.int8)]


def qdq(name, source):
    return [
        NODE("QuantizeLinear", [source, "s", "z"], [f"{name}_q"]),
        NODE("DequantizeLinear", [f"{name}_q", "s", "z"], [name]),
    ]


def test_a_qdq_graph_with_operators_left_in_float():
    nodes = [
        NODE("MatMul", ["x", "w"], ["a"]),
        *qdq("ad", "a"),
        NODE("DequantizeLinear", ["q", "s", "z"], ["wd"]),
        NODE("MatMul", ["ad", "wd"], ["b"]),
        NODE("MatMul", ["b", "wd"], ["c"]),  # only its weight is quantized: computes in float
        NODE("MatMul", ["c", "w"], ["y"], name="last"),
    ]
    model = graph(nodes, [tensor("w", 4, 4), tensor("q", 4, 4, dtype=np.int8), *SCALES])
    assert report(model, graph([nodes[0]], [])) == {
        "integer_operators": {"MatMul": 1},
        "weight_only_operators": {"MatMul": 1},
        "half_operators": {},
        "float_operators": {"MatMul": 2},
        "float_operator_names": ["MatMul a", "MatMul last"],
        "low_precision_flops_share": 0.25,
        "weight_only_flops_share": 0.25,
        "flops_by_type": {"float32": 0.75, "int8": 0.25},
        "low_precision_weight_share": pytest.approx(16 / 80),
        "quantize_nodes": 1,
        "dequantize_nodes": 2,
        "qdq_pairs": 1,
        "overhead_operators": {"DequantizeLinear": 2, "QuantizeLinear": 1},
    }


def test_shares_follow_the_work_of_an_operator_not_the_number_of_operators():
    nodes = [
        NODE("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        NODE("MatMulInteger", ["xq", "big", "xz"], ["i"]),  # 4 × 60
        NODE("Cast", ["i"], ["a"], to=TensorProto.FLOAT),
        NODE("MatMul", ["a", "small"], ["y"]),  # 60 × 4
        NODE("MatMul", ["x", "tiny"], ["z"]),  # 4 × 4
    ]
    weights = [tensor("big", 4, 60, dtype=np.int8), tensor("small", 60, 4), tensor("tiny", 4, 4)]
    found = report(graph(nodes, weights), graph(nodes[3:], []))
    assert found["low_precision_flops_share"] == pytest.approx(240 / (240 + 240 + 16))
    assert found["overhead_operators"] == {"Cast": 1, "DynamicQuantizeLinear": 1}
    assert found["quantize_nodes"] == 1


def test_qoperator_graphs_are_integer():
    names = ["xq", "s", "z", "w", "s", "z", "s", "z"]
    nodes = [
        NODE("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        NODE("QLinearConv", names, ["cq"]),
        NODE("DequantizeLinear", ["cq", "s", "z"], ["y"]),
    ]
    weights = [tensor("w", 3, 2, 3, 3, dtype=np.int8), *SCALES]
    found = report(graph(nodes, weights, ("n", 2, 5, 5), ("n", 3, 3, 3)), graph([], []))
    assert found["integer_operators"] == {"QLinearConv": 1}
    assert found["low_precision_flops_share"] == 1.0
    assert found["qdq_pairs"] == 0


def test_block_quantized_weights_count_as_weights_only_and_scales_are_no_weights():
    node = NODE(
        "MatMulNBits", ["x", "w", "ws"], ["y"], domain="com.microsoft", K=64, N=8, bits=4, block_size=32
    )
    after = NODE("MatMul", ["y", "v"], ["u"])
    weights = [tensor("w", 8, 2, 16, dtype=np.uint8), tensor("ws", 8, 2), tensor("v", 8, 64)]
    model = graph([node, after], weights, ("n", 64), ("n", 8))
    found = report(model, graph([], []))
    assert found["weight_only_operators"] == {"MatMulNBits": 1}
    assert found["weight_only_flops_share"] == 0.5  # the shape behind a custom operator is known, too
    assert found["low_precision_flops_share"] == 0.0
    assert weight_bytes(model) == (8 * 2 * 16, 8 * 2 * 16 + 4 * 8 * 64)


def test_sixteen_bit_floats_are_low_precision():
    model = graph(
        [NODE("MatMul", ["x", "w"], ["y"])], [tensor("w", 4, 4, dtype=np.float16)], kind=TensorProto.FLOAT16
    )
    found = report(model, graph([], []))
    assert found["half_operators"] == {"MatMul": 1}
    assert found["flops_by_type"] == {"float16": 1.0}
    assert (found["low_precision_flops_share"], found["low_precision_weight_share"]) == (1.0, 1.0)


def test_four_bit_elements_take_half_a_byte():
    weight = helper.make_tensor("q", TensorProto.INT4, [3, 5], [1] * 15)
    assert weight_bytes(graph([], [weight])) == (8, 8)


def test_weights_in_a_branch_count_as_stored_bytes():
    """16 bytes of int8 outside; 64 bytes of float32 and 32 of float16 in the branches."""
    inside = [tensor("v", 4, 4), tensor("h", 4, 4, dtype=np.float16)]
    branches = {
        name: helper.make_graph([NODE("Identity", [t.name], ["b"])], name, [], [VALUE("b", 1, None)], [t])
        for name, t in zip(("then_branch", "else_branch"), inside, strict=True)
    }
    model = graph([NODE("If", ["c"], ["y"], **branches)], [tensor("w", 4, 4, dtype=np.int8)])
    assert weight_bytes(model) == (16 + 32, 16 + 32 + 64)


def test_an_unknown_shape_leaves_the_share_out_and_not_the_counts():
    nodes = [NODE("MatMulInteger", ["xq", "w"], ["i"]), NODE("MatMul", ["other", "v"], ["y"])]
    model = graph(nodes, [tensor("w", 4, 4, dtype=np.int8)])
    found = report(model, graph([], []))
    assert found["low_precision_flops_share"] is None
    assert found["integer_operators"] == {"MatMulInteger": 1}


def test_an_operator_whose_weight_alone_is_stored_low_does_not_compute_in_integers():
    with pytest.raises(BuildError, match="nothing was quantized: the graph has only MatMul in float"):
        report(graph([NODE("MatMul", ["x", "w"], ["y"])], [tensor("w", 4, 4)]), graph([], []))


@pytest.mark.parametrize(("quantized_output", "kind"), [(True, "integer"), (False, "weight_only")])
def test_a_convolution_runs_in_integers_only_where_its_output_is_quantized(quantized_output, kind, tmp_path):
    """Held against ONNX Runtime: the operators of the graph that it makes of this one."""
    nodes = [*qdq("xd", "x"), NODE("DequantizeLinear", ["w", "s", "z"], ["wd"])]
    nodes += [NODE("Conv", ["xd", "wd"], ["c"]), NODE("Relu", ["c"], ["r"])]
    nodes += qdq("y", "r") if quantized_output else [NODE("Sigmoid", ["r"], ["y"])]
    weights = [tensor("w", 3, 2, 3, 3, dtype=np.int8), *SCALES[:1]]
    weights.append(numpy_helper.from_array(np.int8(-128 if quantized_output else 0), "z"))
    if quantized_output:  # a weight's zero point is 0
        nodes[2].input[2] = "wz"
        weights.append(numpy_helper.from_array(np.int8(0), "wz"))
    model = graph(nodes, weights, ("n", 2, 5, 5), ("n", 3, 3, 3))
    assert report(model, graph([], []))[f"{kind}_operators"] == {"Conv": 1}
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    runs = fused(path, tmp_path)
    assert bool(runs["QLinearConv"]) == quantized_output
    assert bool(runs["Conv"] + runs["FusedConv"]) != quantized_output


def fused(path, folder, level=ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED):
    """The operators of the graph that ONNX Runtime really runs, layout changes left out."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(folder / "fused.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(str(folder / "fused.onnx")).graph.node)


@pytest.mark.parametrize(
    "level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]
)
def test_from_the_extended_level_on_qdq_runs_in_integers(level, tmp_path):
    """Why QDQ steps are refused below it (test_suite_pipeline.py): it would run in float."""
    specs = tiny.INPUTS["dense"]
    about = tiny.Context(specs, tiny.training(specs))
    source, _ = tiny.build("export-onnx", tiny.source("dense", tmp_path / "m"), tmp_path / "o", about)
    config = {"calibration": {"samples": 64}}
    made, told = tiny.build("quantize/static", source, tmp_path / "q", about, **config)
    assert told["integer_operators"]
    runs = fused(made.file("model.onnx"), tmp_path, getattr(ort.GraphOptimizationLevel, level))
    integers = runs["QGemm"] + runs["QLinearMatMul"]
    assert (integers > 0) == (level in ("ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")), runs


@pytest.mark.parametrize("types", ["u8s8", "s8s8"])
@pytest.mark.parametrize("method", ["static", "mixed"])
def test_a_product_that_onnx_runtime_leaves_in_float_after_all_is_counted_so(types, method, tmp_path):
    """On x86 signed activations that two operators read are not fused: the shortcut's and the first one's."""
    specs = tiny.INPUTS["residual"]
    about = tiny.Context(specs, tiny.training(specs))
    exported, _ = tiny.build("export-onnx", tiny.source("residual", tmp_path / "m"), tmp_path / "f", about)
    config = {"calibration": {"samples": 64}, "types": types} | (
        {"max_drop": 0.9} if method == "mixed" else {}
    )
    artifact, found = tiny.build(f"quantize/{method}", exported, tmp_path / "q", about, **config)
    runs = fused(artifact.file(onnx_graph.MODEL), tmp_path)
    assert sum(found["integer_operators"].values()) == runs["QLinearConv"] + runs["QGemm"]
    left = runs["Conv"] + runs["FusedConv"] + runs["Gemm"]
    assert sum(found["weight_only_operators"].values()) == left
    assert (found["low_precision_flops_share"] < 1) == (left > 0)
    if types == "u8s8":
        assert not left


RUN_AS = {"Conv": "QLinearConv", "Gemm": "QGemm", "MatMulInteger": "DynamicQuantizeMatMul"}


@pytest.mark.parametrize("method", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_what_is_counted_as_integer_is_what_onnx_runtime_runs_in_integers(name, method, tmp_path):
    specs = tiny.INPUTS[name]
    about = tiny.Context(specs, tiny.training(specs))
    exported, _ = tiny.build("export-onnx", tiny.source(name, tmp_path / "m"), tmp_path / "f", about)
    config = {"calibration": {"samples": 64}} if method == "static" else {}
    artifact, found = tiny.build(f"quantize/{method}", exported, tmp_path / "q", about, **config)
    runs = fused(artifact.file(onnx_graph.MODEL), tmp_path)
    for operator, number in found["integer_operators"].items():
        assert runs[RUN_AS.get(operator, operator)] == number
    assert not {"Conv", "FusedConv", "Gemm", "MatMul"} & set(runs)
