"""Transposed weights become constants, and the outputs stay."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from harness.formats.onnx.rewriting import fold_constants

ort = pytest.importorskip("onnxruntime")
TABLE = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)


def graph(tied: bool):
    """Rows of a table, looked up or given, times the table transposed."""
    look_up = [helper.make_node("Gather", ["table", "x"], ["rows"])] if tied else []
    nodes = [
        *look_up,
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows" if tied else "x", "turned"], ["y"]),
    ]
    kind, shape = (TensorProto.INT64, ["n"]) if tied else (TensorProto.FLOAT, ["n", 4])
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
        [numpy_helper.from_array(TABLE, "table")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("tied", [True, False])
def test_the_weight_is_stored_as_it_is_read_and_kept_where_it_is_read_otherwise(tied):
    model = graph(tied)
    assert fold_constants(model) == {"Transpose": 1}
    checker.check_model(model, full_check=True)
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    assert {t.name for t in model.graph.initializer} == ({"table", "turned"} if tied else {"turned"})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.array([3, 0, 6]) if tied else TABLE[[3, 0, 6]]
    np.testing.assert_allclose(session.run(None, {"x": given})[0], TABLE[[3, 0, 6]] @ TABLE.T, rtol=1e-5)


def test_what_a_branch_reads_is_kept():
    """A graph inside a node reads tensors of the graph around it by name alone."""
    model = graph(tied=False)
    out = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(kind, ["table"], ["z"])], name, [], [out])
        for name, kind in (("then", "Identity"), ("else", "Neg"))
    }
    model.graph.input.append(helper.make_tensor_value_info("choice", TensorProto.BOOL, []))
    model.graph.node.append(helper.make_node("If", ["choice"], ["z"], **branches))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [7, 4]))
    assert fold_constants(model) == {"Transpose": 1}
    assert {tensor.name for tensor in model.graph.initializer} == {"table", "turned"}
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"x": TABLE[:2], "choice": np.array(False)}
    np.testing.assert_array_equal(session.run(["z"], given)[0], -TABLE)


def test_transposes_of_activations_stay():
    model = graph(tied=False)
    model.graph.node[0].input[0] = "x"
    assert not fold_constants(model)
    assert len(model.graph.node) == 2


def test_a_constant_that_only_a_branch_reads_is_kept_when_gemm_is_rewritten():
    """A subgraph of If reads it by name, and no node of the graph itself does."""
    from harness.formats.onnx.rewriting import gemm_to_matmul

    value = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node(op, ["p", "inner"], ["r"])], op, [], [value])
        for op in ("Add", "Sub")
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["p"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    constants = {"w": np.eye(4, dtype=np.float32), "inner": np.full(4, 3, np.float32), "yes": np.array(True)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert gemm_to_matmul(model) == 1
    assert {t.name for t in model.graph.initializer} == {"inner", "yes", "p/weight"}
    checker.check_model(model, full_check=True)
