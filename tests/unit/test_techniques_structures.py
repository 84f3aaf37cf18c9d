"""Graphs in every form that exporters write × each step: what they compute, and how many weights shrank."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from onnx_structures import (
    NODE,
    STRUCTURES,
    VECTOR,
    Structure,
    array,
    made,
    weight,
)

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, DataError
from harness.formats.onnx import graph as onnx_graph
from harness.techniques.quantize.ort_library import run_batches
from harness.techniques.quantize.ort_preparation import prepared
from harness.zoo.registry import Data

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

CALIBRATION = {"calibration": {"samples": 32, "batch": 8}}
STEPS = {
    "quantize/dynamic": {},
    "quantize/static": CALIBRATION,
    "quantize/weight-only": {"dtype": "int8", "block_size": 16},
    "precision/fp16/onnx": {},
}
LOW = {
    "quantize/dynamic": {"after", "attention", "conv", "dense", "lstm", "norm table", "table", "turned"},
    "quantize/static": {"after", "conv", "dense", "left", "norm table", "table", "turned", "up"},
    "quantize/weight-only": {"after", "dense", "inner", "turned"},
}
"""The kinds of layers whose weights each step stores in 8 bits; float16 takes all."""
NEAR = {"quantize/dynamic": 0.99, "quantize/static": 0.985}
"""The least cosine to the graph as given; 0.9995 where activations are not rounded."""


def saved(structure: Structure, folder) -> Artifact:
    folder.mkdir(parents=True)
    (folder / onnx_graph.MODEL).write_bytes(structure.model.SerializeToString())
    return Artifact("g", onnx_graph.FORMAT, folder)


def batches(inputs, count=4):
    rng = np.random.default_rng(8)
    return [{spec.name: spec.random(count, rng) for spec in inputs}]


def outputs(artifact, inputs):
    """Outputs without ONNX Runtime's optimizations, which round the activations of stored integers."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(artifact.file(onnx_graph.MODEL)), options)
    found = session.run(None, *batches(inputs))
    return np.concatenate([each.ravel().astype(np.float64) for each in found])


def cosine(first, second):
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def build(step, structure, folder, **config):
    inputs = structure.inputs
    context = tiny.Context(inputs, Data(tiny.samples(inputs, 32)))
    given = saved(structure, folder / "f")
    result, about = tiny.build(step, given, folder / "q", context, **{**STEPS.get(step, {}), **config})
    return given, result, about


# ------------------------------------------------------------------ one preparation


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_working_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_preparation_leaves_what_a_graph_computes_and_is_done_once(name, tmp_path):
    structure = STRUCTURES[name]()
    given = saved(structure, tmp_path / "f")
    exact = outputs(given, structure.inputs)
    model = onnx_graph.load_checked(given.file(onnx_graph.MODEL))
    named = [node.name for node in model.graph.node]
    assert len(set(named)) == len(named)
    assert not model.functions
    assert not {"Constant", "Identity"} & {node.op_type for node in model.graph.node}
    again = tmp_path / "g"
    again.mkdir()
    onnx_graph.save_model(model, again / onnx_graph.MODEL)
    twice = onnx_graph.load_checked(again / onnx_graph.MODEL)
    assert twice.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(outputs(Artifact("g", "onnx", again), structure.inputs), exact)
    with prepared(given) as ready:
        (found,) = run_batches(ready.path, batches(structure.inputs))
    np.testing.assert_allclose(np.concatenate([a.ravel() for a in found]), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STRUCTURES)
def test_weights_are_counted_once_wherever_they_are(name):
    """`turned` is a copy that quantizers of MatMul make; a tied table is one weight."""
    structure = STRUCTURES[name]()
    kinds = {kind: n for kind, n in structure.elements.items() if kind != "turned"}
    for kind in {"tied_table": ["dense"], "tied_autoencoder": ["up"]}.get(name, []):
        del kinds[kind]
    model = onnx_graph.prepare(structure.model)
    weights = [t for t in onnx_graph.initializers(model) if len(t.dims) > 1 and t.data_type != 7]
    assert sum(int(np.prod(t.dims)) for t in weights) == sum(kinds.values())


# ------------------------------------------------------------------ structure × step


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_each_step_takes_each_structure_and_counts_what_it_stored_in_fewer_bits(name, step, tmp_path):
    structure = STRUCTURES[name]()
    given, result, about = build(step, structure, tmp_path)
    exact, found = (outputs(one, structure.inputs) for one in (given, result))
    assert cosine(exact, found) > NEAR.get(step, 0.9995)
    in_half = (name, step) == ("stored_in_half", "precision/fp16/onnx")
    assert np.array_equal(exact, found) is in_half, "something is rounded"
    elements = dict(structure.elements)
    if name == "tied_autoencoder" and step not in NEAR:
        del elements["up"]  # only steps that round activations need a copy of it
    low = sum(n for kind, n in elements.items() if kind in LOW.get(step, elements))
    rest = sum(elements.values()) - low
    assert about["low_precision_weight_share"] == pytest.approx(low / (low + 4 * rest), abs=0.001)


@pytest.mark.parametrize(
    ("name", "step", "operators"),
    [
        ("lstm", "quantize/dynamic", {"DynamicQuantizeLSTM": 1, "MatMulInteger": 1}),
        ("attention", "quantize/dynamic", {"MatMulInteger": 1, "QAttention": 1}),
        ("embedding", "quantize/dynamic", {"MatMulInteger": 1}),
        ("constant_nodes", "quantize/static", {"Conv": 1, "MatMul": 1}),
        ("branches", "quantize/dynamic", {"MatMulInteger": 1}),
    ],
)
def test_operators_that_run_in_integers_are_counted(name, step, operators, tmp_path):
    _, _, about = build(step, STRUCTURES[name](), tmp_path)
    assert about["integer_operators"] == operators


@pytest.mark.parametrize(
    ("name", "step", "left"),
    [
        ("branches", "quantize/dynamic", ["MatMul else_y", "MatMul then_y"]),
        ("scan", "quantize/static", ["MatMul p"]),
        ("gru", "quantize/dynamic", ["GRU GRU_1"]),
        ("attention", "quantize/static", ["Attention Attention_0"]),
        ("constant_on_the_left", "quantize/dynamic", ["MatMul MatMul_0"]),
    ],
)
def test_products_that_stay_in_float_are_listed_those_inside_nodes_as_well(name, step, left, tmp_path):
    _, _, about = build(step, STRUCTURES[name](), tmp_path)
    assert about["float_operator_names"] == left


@pytest.mark.parametrize("name", ["constant_nodes", "branches", "functions", "tied_table"])
def test_mixed_precision_finds_the_layers_of_each_structure(name, tmp_path):
    structure = STRUCTURES[name]()
    given, result, about = build(
        "quantize/mixed", structure, tmp_path, max_drop=None, min_sqnr_db=10.0, **CALIBRATION
    )
    assert (
        len(about["sensitivity"])
        == {"constant_nodes": 2, "branches": 1, "functions": 3, "tied_table": 1}[name]
    )
    assert cosine(*(outputs(one, structure.inputs) for one in (given, result))) > 0.97


def test_operators_can_be_chosen_and_nodes_left_in_float(tmp_path):
    _, _, about = build("quantize/dynamic", STRUCTURES["embedding"](), tmp_path / "a", operators=["Gather"])
    assert (about["integer_operators"], about["float_operators"]) == ({}, {"MatMul": 1})
    assert about["low_precision_weight_share"] == pytest.approx(640 / (640 + 4 * 128))
    _, _, about = build("quantize/dynamic", STRUCTURES["embedding"](), tmp_path / "b", exclude=["Gather_0"])
    assert about["low_precision_weight_share"] == pytest.approx(128 / (128 + 4 * 640))
    _, _, about = build("quantize/static", STRUCTURES["constant_nodes"](), tmp_path / "c", exclude=["Conv_0"])
    assert about["float_operators"] == {"Conv": 1}


def test_an_unknown_node_under_exclude_is_told_with_a_similar_one(tmp_path):
    with pytest.raises(
        BuildError, match=r"exclude: 'Gather_O' is the name of no layer or node; did you mean 'Gather_0'"
    ):
        build("quantize/dynamic", STRUCTURES["embedding"](), tmp_path, exclude=["Gather_O"])


# ------------------------------------------------------------------ refused, or left alone


def computing_in(dtype) -> Structure:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [NODE("MatMul", ["x", "w"], ["a"]), NODE("Relu", ["a"], ["b"]), NODE("MatMul", ["b", "v"], ["y"])]
    model = made(nodes, [weight("w", 32, 16, kind=np.dtype(dtype)), weight("v", 16, 8, kind=np.dtype(dtype))])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    return Structure(model, (tiny.TensorSpec(name="x", shape=(32,), dtype=dtype),))


@pytest.mark.parametrize("step", STEPS)
def test_a_graph_in_float64_is_refused_as_such(step, tmp_path):
    with pytest.raises(
        BuildError, match=r"^nothing was quantized: the graph has only MatMul \(float64\) in float$"
    ):
        build(step, computing_in("float64"), tmp_path)


@pytest.mark.parametrize("step", ["quantize/dynamic", "quantize/static", "quantize/mixed"])
def test_a_graph_that_computes_in_float16_is_refused_where_activations_are_rounded(step, tmp_path):
    says = r"the graph computes in 16 bits \(the weight 'w'\).*: give the model in float32$"
    with pytest.raises(BuildError, match=says):
        build(step, computing_in("float16"), tmp_path)


def test_weights_of_a_graph_in_float16_can_be_stored_in_integers(tmp_path):
    structure = computing_in("float16")
    given, result, about = build("quantize/weight-only", structure, tmp_path)
    assert cosine(*(outputs(one, structure.inputs) for one in (given, result))) > 0.999
    assert about["weight_only_operators"] == {"MatMulNBits": 2}


@pytest.mark.parametrize("first", ["quantize/static", "quantize/dynamic"])
@pytest.mark.parametrize("second", ["quantize/static", "quantize/dynamic", "quantize/mixed"])
def test_a_graph_that_rounds_activations_is_not_quantized_again(first, second, tmp_path):
    structure = STRUCTURES["transposed"]()
    _, once, _ = build(first, structure, tmp_path / "once")
    model = onnx.load(str(once.file(onnx_graph.MODEL)))
    with pytest.raises(BuildError, match=r"the graph is quantized already \(\d .*give the float graph"):
        build(second, Structure(model, structure.inputs), tmp_path / "twice")


def test_a_failure_of_the_quantizer_names_the_node_and_the_remedy(tmp_path, monkeypatch):
    from onnxruntime.quantization.operators.matmul import MatMulInteger

    def fail(self):
        raise IndexError("list index out of range")

    monkeypatch.setattr(MatMulInteger, "quantize", fail)
    with pytest.raises(
        BuildError,
        match=r"quantizer failed at MatMul MatMul_1: IndexError: list index .*; name it under exclude",
    ):
        build("quantize/dynamic", STRUCTURES["transposed"](), tmp_path)


def test_attention_of_the_standard_and_lstms_that_share_weights_stay_in_float(tmp_path):
    """ONNX Runtime's quantizer takes the first for its own operator, and spoils the weights of the second."""
    nodes = [
        NODE("Transpose", ["x"], ["s"], perm=[1, 0, 2]),
        NODE("LSTM", ["s", "w", "r"], ["", "h1"], hidden_size=16),
        NODE("Neg", ["s"], ["m"]),
        NODE("LSTM", ["m", "w", "r"], ["", "h2"], hidden_size=16),
        NODE("Sub", ["h1", "h2"], ["h"]),
        NODE("Squeeze", ["h", "axis"], ["v"]),
        NODE("MatMul", ["v", "d"], ["y"]),
    ]
    inputs = (tiny.TensorSpec(name="x", shape=(6, 32)),)
    weights = [weight("w", 1, 64, 32), weight("r", 1, 64, 16), weight("d", 16, 8), array("axis", [0])]
    structure = Structure(made(nodes, weights, inputs), inputs)
    given, result, about = build("quantize/dynamic", structure, tmp_path)
    assert about["float_operators"] == {"LSTM": 2}
    assert cosine(*(outputs(one, inputs) for one in (given, result))) > 0.99


def test_nodes_in_a_circle_are_no_valid_model(tmp_path):
    nodes = [NODE("Add", ["x", "b"], ["a"]), NODE("Relu", ["a"], ["b"]), NODE("MatMul", ["b", "w"], ["y"])]
    given = saved(Structure(made(nodes, [weight("w", 32, 8)]), VECTOR), tmp_path / "f")
    with pytest.raises(DataError, match="is not a valid ONNX model"):
        onnx_graph.load_checked(given.file(onnx_graph.MODEL))
