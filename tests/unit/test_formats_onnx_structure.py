"""Graphs inside nodes, constants in nodes, sizes that are none, and what of an int8 graph is a parameter."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import complete

NODE = helper.make_node


def tensor(array, name):
    return numpy_helper.from_array(np.asarray(array), name)


def graph(nodes, weights=(), shape=("batch", 8), out=("batch", 4), only_read=False):
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)]
    read = {name for node in nodes for name in node.input}
    kept = [t for t in weights if t.name in read] if only_read else weights
    made = helper.make_graph(nodes, "net", values, outputs, kept)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def loaded(model, folder):
    onnx.save(model, str(folder / "m.onnx"))
    return onnx_graph.load_checked(folder / "m.onnx")


def branches(op, weight, inner=()):
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    return helper.make_graph([NODE(op, ["p", weight], ["b"])], op, [], [out], inner)


# ------------------------------------------------------------------ constants and sizes


def test_weights_in_constant_nodes_count_as_weights_and_not_as_activations(tmp_path):
    """8 × 4 weights and 4 biases in Constant nodes: the same as in initializers, 4 bytes each."""
    w, b = np.ones((8, 4), np.float32), np.arange(4, dtype=np.float32)
    nodes = [
        NODE("Constant", [], ["w"], value=tensor(w, "")),
        NODE("Constant", [], ["b"], value_floats=b.tolist()),
        NODE("Gemm", ["x", "w", "b"], ["y"]),
    ]
    assert onnx_graph.count_statistics(loaded(graph(nodes), tmp_path)) == {
        "parameters": 36,
        "nonzero_parameters": 35,
        "flops_per_sample": 2 * 8 * 4,
        "weight_bytes": 4 * 36,
        "activation_bytes_per_sample": 4 * (8 + 4),
        "float32_flops_share": 1.0,
    }


def test_constants_that_are_outputs_or_text_stay_nodes(tmp_path):
    nodes = [
        NODE("MatMul", ["x", "w"], ["p"]),
        NODE("Constant", [], ["y"], value_float=1.0),
        NODE("Constant", [], ["s"], value_string="text"),
        NODE("Constant", [], ["n"], value_ints=[1, 2]),
    ]
    model = loaded(graph(nodes, [tensor(np.ones((8, 4), np.float32), "w")], out=()), tmp_path)
    assert [node.output[0] for node in model.graph.node] == ["p", "y", "s"]
    lifted = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert (lifted["n"].dtype, lifted["n"].tolist()) == (np.int64, [1, 2])


@pytest.mark.parametrize("size", [-1, 0])
def test_a_batch_that_is_no_size_is_free(size, tmp_path):
    """Some exporters write -1, some 0, where the batch is free; ONNX Runtime takes both so."""
    model = graph([NODE("MatMul", ["x", "w"], ["y"])], [tensor(np.ones((8, 4), np.float32), "w")])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    model = loaded(model, tmp_path)
    assert onnx_graph.fixed_batch(model) is None
    assert onnx_graph.input_specs(model)[0].shape == (8,)
    assert onnx_graph.count_statistics(model)["flops_per_sample"] == 2 * 8 * 4


# ------------------------------------------------------------------ what quantizers leave behind


def test_a_graph_is_completed_with_what_branches_read_and_put_in_order():
    """As quantizers leave it: without `gain`, the If before `p` that its branches read, `w` twice."""
    w = np.eye(8, 4, dtype=np.float32)
    product = NODE("MatMul", ["x", "w"], ["p"])
    choice = NODE(
        "If", ["yes"], ["y"], then_branch=branches("Mul", "gain"), else_branch=branches("Add", "shift")
    )
    constants = {"yes": np.array(True), "gain": np.full(4, 3, np.float32), "shift": np.ones(4, np.float32)}
    weights = [tensor(w, "w"), *(tensor(array, name) for name, array in constants.items())]
    before = graph([product, choice], [*weights, tensor(w, "unused")])
    made = graph([choice, product], [weights[0], weights[0], weights[1], weights[3]])
    assert complete(made, before) is made
    assert [node.op_type for node in made.graph.node] == ["MatMul", "If"]
    assert sorted(t.name for t in made.graph.initializer) == ["gain", "shift", "w", "yes"]
    onnx.checker.check_model(made, full_check=True)


def test_weights_inside_a_branch_are_parameters_and_are_read():
    inner = {name: [tensor(np.ones(4, np.float32), name)] for name in ("gain", "shift")}
    choice = NODE(
        "If",
        ["yes"],
        ["y"],
        then_branch=branches("Mul", "gain", inner["gain"]),
        else_branch=branches("Add", "shift", inner["shift"]),
    )
    weights = [tensor(np.ones((8, 4), np.float32), "w"), tensor(np.array(True), "yes")]
    statistics = onnx_graph.count_statistics(graph([NODE("MatMul", ["x", "w"], ["p"]), choice], weights))
    assert (statistics["parameters"], statistics["weight_bytes"]) == (32 + 4 + 4, 4 * 40 + 1)


def test_a_table_that_a_branch_multiplies_with_is_no_mere_look_up_table():
    table = [tensor(np.ones((8, 4), np.float32), "table"), tensor(np.array(True), "yes")]
    gather = NODE("Gather", ["table", "x"], ["p"])
    choice = NODE(
        "If", ["yes"], ["y"], then_branch=branches("Mul", "table"), else_branch=branches("Add", "p")
    )
    assert onnx_graph.count_statistics(graph([gather], table))["weight_bytes"] == 1
    assert onnx_graph.count_statistics(graph([gather, choice], table))["weight_bytes"] == 4 * 32 + 1


# ------------------------------------------------------------------ parameters of integer graphs

Q = np.array([[0, 1, 2, 3]] * 8, np.int8)  # a quarter is zero
S, Z = np.float32(0.1), np.int8(0)
SCALES = [
    tensor(S, "s"),
    tensor(Z, "z"),
    tensor(np.full(4, 0.1, np.float32), "ws"),
    tensor(np.zeros(4, np.int8), "wz"),
]
BIAS = [tensor(np.arange(4, dtype=np.int32), "b"), tensor(np.full(4, 0.01, np.float32), "bs")]


def qdq():
    nodes = [
        NODE("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        NODE("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        NODE("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        NODE("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
        NODE("Gemm", ["xd", "wd", "bd"], ["y"]),
    ]
    return graph(nodes, [tensor(Q, "w"), *SCALES, *BIAS])


def integer_operators():
    """As ONNX Runtime's dynamic quantizer writes it: the weight's scale is multiplied in afterwards."""
    nodes = [
        NODE("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        NODE("MatMulInteger", ["xq", "w", "xz", "wz"], ["i"]),
        NODE("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        NODE("Mul", ["xs", "ws"], ["scale"]),
        NODE("Mul", ["f", "scale"], ["p"]),
        NODE("Add", ["p", "fb"], ["y"]),
    ]
    bias = tensor(np.arange(4, dtype=np.float32), "fb")
    return graph(nodes, [tensor(Q, "w"), *SCALES, bias], only_read=True)


def qoperator():
    """A 1 × 1 convolution of 4 channels with a bias in int32."""
    kernel = Q[:4].T.reshape(4, 4, 1, 1)  # the first filter is zero
    nodes = [NODE("QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s", "z", "b"], ["y"])]
    weights, shape = [tensor(kernel, "w"), *SCALES, *BIAS], ("batch", 4, 2, 2)
    return graph(nodes, weights, shape, shape, only_read=True)


def unsigned():
    """Weights in uint8, for which 128 is zero: 8 × 4, a quarter of them zero."""
    nodes = [NODE("DequantizeLinear", ["w", "s", "z"], ["wd"]), NODE("MatMul", ["x", "wd"], ["y"])]
    weights = [
        tensor((Q.astype(int) + 128).astype(np.uint8), "w"),
        tensor(S, "s"),
        tensor(np.uint8(128), "z"),
    ]
    return graph(nodes, weights)


@pytest.mark.parametrize(
    ("made", "parameters"), [(qdq, 36), (integer_operators, 36), (qoperator, 20), (unsigned, 32)]
)
def test_integer_weights_are_parameters_and_scales_and_zero_points_are_not(made, parameters):
    """Which of them are zero is not told: in `unsigned`, 128 is."""
    statistics = onnx_graph.count_statistics(made())
    assert (statistics["parameters"], statistics.get("nonzero_parameters")) == (parameters, None)


def test_what_onnx_runtimes_own_operators_read_as_scales_is_no_parameter():
    names = ["x", "s", "z", "t", "s", "z", "s", "z"]
    nodes = [NODE("QLinearAdd", names, ["a"], domain="com.microsoft")]
    names = ["a", "s", "z", "w", "ws", "wz", "b", "s", "z"]
    nodes.append(NODE("QGemm", names, ["y"], domain="com.microsoft"))
    weights = [tensor(Q, "w"), tensor(np.ones(8, np.int8), "t"), *SCALES, BIAS[0]]
    assert onnx_graph.count_statistics(graph(nodes, weights))["parameters"] == 32 + 8 + 4


def test_packed_weights_count_by_their_product_and_not_by_their_bytes():
    """64 × 8 weights in four bits: 256 bytes and 16 scales."""
    node = NODE(
        "MatMulNBits", ["x", "w", "ws"], ["y"], domain="com.microsoft", K=64, N=8, bits=4, block_size=32
    )
    packed = [tensor(np.zeros((8, 2, 16), np.uint8), "w"), tensor(np.ones((8, 2), np.float32), "ws")]
    statistics = onnx_graph.count_statistics(graph([node], packed, ("batch", 64), ("batch", 8)))
    assert (statistics["parameters"], statistics["weight_bytes"]) == (64 * 8, 8 * 2 * 16 + 4 * 16)
