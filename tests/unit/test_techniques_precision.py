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


MASKS = {
    "minus infinity": -np.inf,
    "the lowest float32": np.finfo(np.float32).min,
    "Keras's": -1e9,
}


@pytest.mark.parametrize("form", ["added", "chosen"])
@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_masks_the_same_in_float16(mask, form, tmp_path):
    """Scores times values under a mask; the last row is masked throughout.

    It gives NaN under infinities and numbers under finite masks. With the lowest float16 for such a mask, a
    score of -20 added to it would be minus infinity, and the row NaN. A chosen mask is a scalar.
    """
    far = np.float32(MASKS[mask])
    seen = np.tril(np.ones((4, 4), bool))
    seen[3] = False
    values = {"v": np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)}
    if form == "added":
        values |= {"mask": np.where(seen, 0, far).astype(np.float32)}
        masking = helper.make_node("Add", ["x", "mask"], ["masked"])
    else:
        values |= {"mask": far, "seen": seen}
        masking = helper.make_node("Where", ["seen", "x", "mask"], ["masked"])
    softmax = helper.make_node("Softmax", ["masked"], ["shares"])
    nodes = [masking, softmax, helper.make_node("MatMul", ["shares", "v"], ["y"])]
    source = write(tmp_path / "f", nodes, (4, 4), (4, 5), values)
    artifact, _ = tiny.build(NAME, source, tmp_path / "h", context((4, 4), None))
    x = samples((4, 4), 6, seed=4) - 20
    exact, found = run(source, x), run(artifact, x, "all")
    rows = 3 if form == "added" else 4  # beside a finite mask that is added, float32 rounds all scores away
    np.testing.assert_allclose(found[:, :rows], exact[:, :rows], atol=0.02)
    assert np.isnan(found[:, 3]).all() == np.isnan(exact[:, 3]).all() == np.isinf(far)
    if not np.isinf(far):
        assert np.abs(found[:, 3]).max() <= np.abs(values["v"]).max() + 0.01


def test_a_bound_beyond_the_range_is_the_largest_number(tmp_path):
    """Clip to [0, float32's largest] must not clip at half of float16's."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Clip", ["p", "low", "high"], ["y"]),
    ]
    bounds = {"low": np.float32(0), "high": np.finfo(np.float32).max}
    source = write(tmp_path / "f", nodes, [8], [8], {"w": np.eye(8, dtype=np.float32), **bounds})
    artifact, _ = tiny.build(NAME, source, tmp_path / "h", context((8,), None))
    x = np.full((1, 8), 49_984, np.float32)  # a float16
    np.testing.assert_array_equal(run(artifact, x, "all"), run(source, x))


def test_a_graph_without_products_is_no_float16_cell(tmp_path):
    source = write(tmp_path / "f", [helper.make_node("Relu", ["x"], ["y"])], [8], [8], {})
    with pytest.raises(BuildError, match="nothing was quantized: the graph has no dense or convolution"):
        tiny.build(NAME, source, tmp_path / "h", context((8,), None))


def test_the_numbers_are_those_of_a_cast(tmp_path):
    artifact, _ = tiny.build(NAME, gemm(tmp_path / "f"), tmp_path / "h", context((8,), None))
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(arrays["w"], DENSE["w"].astype(np.float16))
