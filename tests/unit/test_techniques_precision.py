"""float16 graphs: what numpy computes in 16 bits, inputs and outputs as before, and honest about kernels."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from layers import CONV, DENSE, columns, context, conv, gemm, run, samples, write

from harness.errors import BuildError
from harness.formats.low_precision.onnx import graph_that_runs
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import helper, numpy_helper  # noqa: E402

NAME = "precision/fp16/onnx"
LAYERS = {"gemm": (gemm, (8,)), "conv": (conv, (2, 6, 6))}


def halved(array):
    return array.astype(np.float16).astype(np.float64)


def oracle(kind, x):
    """Everything stored in 16 bits; sums in at least 32."""
    if kind == "gemm":
        return halved(x) @ halved(DENSE["w"]) + halved(DENSE["b"])
    rows, w = halved(columns(x)), halved(CONV["w"]).reshape(3, -1).T
    return (rows @ w + halved(CONV["b"])).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_output_is_that_of_numbers_stored_in_16_bits(kind, tmp_path):
    make, shape = LAYERS[kind]
    source = make(tmp_path / "f")
    artifact, _ = tiny.build(NAME, source, tmp_path / "h", context(shape, None))
    x = samples(shape, 6, seed=4)
    found = run(artifact, x, "all")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle(kind, x), atol=2e-3 * np.abs(oracle(kind, x)).max())
    assert np.abs(found - run(source, x)).max() > 0


def test_inputs_outputs_and_their_names_stay(tmp_path):
    artifact, _ = tiny.build(NAME, gemm(tmp_path / "f"), tmp_path / "h", context((8,), None))
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    values = [*model.graph.input, *model.graph.output]
    assert [(v.name, v.type.tensor_type.elem_type) for v in values] == [("x", 1), ("y", 1)]
    assert {t.data_type for t in model.graph.initializer} == {onnx.TensorProto.FLOAT16}


def test_the_weights_take_half_the_room_and_the_compute_dtype_is_reported_as_it_is(tmp_path):
    """Where ONNX Runtime has no float16 kernel, it computes in float32 and the report says so."""
    artifact, about = tiny.build(NAME, conv(tmp_path / "f"), tmp_path / "h", context((2, 6, 6), None))
    assert about["low_precision_weight_share"] == 1.0
    graph = graph_that_runs(artifact.file(onnx_graph.MODEL)).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    (node,) = (node for node in graph.node if node.op_type == "Conv")
    widened = made_by.get(node.input[1]) == "Cast"
    assert about["weight_only_flops_share"] == float(widened)
    assert about["low_precision_flops_share"] == float(not widened)
    assert about["compute_dtype"].startswith(
        "float32, from weights stored in float16" if widened else "float16"
    )
    assert about["overhead_operators"]["Cast"] == sum(n.op_type == "Cast" for n in graph.node)


def test_on_a_gpu_the_graph_is_taken_at_its_word(tmp_path):
    about = context((8,), None, target=Target(1, "cuda"))
    _, found = tiny.build(NAME, gemm(tmp_path / "f"), tmp_path / "h", about)
    assert (found["half_operators"], found["low_precision_flops_share"]) == ({"Gemm": 1}, 1.0)


def test_a_weight_beyond_the_range_is_refused_by_name(tmp_path):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    source = write(tmp_path / "f", [node], [8], [4], {"w": np.full((8, 4), 7e4, np.float32)})
    with pytest.raises(BuildError, match="the weight 'w' has values beyond float16's 65,504"):
        tiny.build(NAME, source, tmp_path / "h", context((8,), None))


def test_a_graph_without_products_is_no_float16_cell(tmp_path):
    source = write(tmp_path / "f", [helper.make_node("Relu", ["x"], ["y"])], [8], [8], {})
    with pytest.raises(BuildError, match="nothing was quantized: the graph has no dense or convolution"):
        tiny.build(NAME, source, tmp_path / "h", context((8,), None))


def test_the_numbers_are_those_of_a_cast(tmp_path):
    artifact, _ = tiny.build(NAME, gemm(tmp_path / "f"), tmp_path / "h", context((8,), None))
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(arrays["w"], DENSE["w"].astype(np.float16))
