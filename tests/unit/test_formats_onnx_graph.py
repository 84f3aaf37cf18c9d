"""ONNX graphs: FLOPs and parameters against counts by hand, inputs, and files that are no ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from harness.errors import DataError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.flops import node_flops
from harness.formats.registry import count_statistics
from harness.zoo.source import SOURCES
from harness.zoo.sources.onnx_file import OnnxSource, _build

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name, *shape, zeros=0):
    array = RNG.standard_normal(shape).astype(np.float32)
    array.flat[:zeros] = 0
    return numpy_helper.from_array(array, name)


def graph(nodes, inputs, outputs, weights, opset=20, domains=()):
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, weights), opset_imports=opsets, ir_version=10
    )


def conv(batch="batch", group=1, stride=1):
    """8 × 8 image of 4 channels → 6 channels, 3 × 3 kernel without padding."""
    side = (8 - 3) // stride + 1
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=group, strides=[stride, stride])
    return graph(
        [node],
        [value("x", [batch, 4, 8, 8])],
        [value("y", [batch, 6, side, side])],
        [weight("w", 6, 4 // group, 3, 3), weight("b", 6)],
    )


def gemm(batch="batch", **attributes):
    shape = (10, 7) if attributes.get("transB") else (7, 10)
    given = [7, batch] if attributes.get("transA") else [batch, 7]
    node = helper.make_node("Gemm", ["x", "w"], ["y"], **attributes)
    return graph([node], [value("x", given)], [value("y", [batch, 10])], [weight("w", *shape, zeros=4)])


def matmul(batch="batch"):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return graph([node], [value("x", [batch, 5, 7])], [value("y", [batch, 5, 3])], [weight("w", 7, 3)])


def attention():
    """Two activations multiplied with each other: no weight at all."""
    node = helper.make_node("MatMul", ["q", "k"], ["y"])
    inputs = [value("q", ["batch", 2, 5, 7]), value("k", ["batch", 2, 7, 9])]
    return graph([node], inputs, [value("y", ["batch", 2, 5, 9])], [])


@pytest.mark.parametrize(
    ("model", "flops"),
    [
        (conv(), 2 * (6 * 6 * 6) * (4 * 9)),
        (conv(group=2), 2 * (6 * 6 * 6) * (2 * 9)),
        (conv(stride=2), 2 * (6 * 3 * 3) * (4 * 9)),
        (conv(batch=4), 2 * (6 * 6 * 6) * (4 * 9)),
        (gemm(), 2 * 7 * 10),
        (gemm(transB=1), 2 * 7 * 10),
        (gemm(batch=3), 2 * 7 * 10),
        (matmul(), 2 * 5 * 7 * 3),
        (attention(), 2 * (2 * 5 * 9) * 7),
    ],
    ids=["conv", "grouped", "strided", "fixed", "gemm", "transposed", "gemm-fixed", "matmul", "attention"],
)
def test_flops_of_one_sample_are_those_counted_by_hand(model, flops):
    assert onnx_graph.count_statistics(model)["flops_per_sample"] == flops


def test_flops_of_a_gemm_whose_data_is_transposed():
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    model = graph([node], [value("x", [7, 4])], [value("y", [4, 10])], [weight("w", 7, 10)])
    assert onnx_graph.count_statistics(model)["flops_per_sample"] * 7 == 2 * 7 * 4 * 10


def test_flops_of_operators_add_up_and_shapes_between_them_are_inferred():
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "w2"], ["y"]),
    ]
    weights = [weight("w1", 2, 1, 3, 3), weight("w2", 2 * 16, 5)]
    model = graph(nodes, [value("x", ["n", 1, 6, 6])], [value("y", ["n", 5])], weights)
    assert onnx_graph.count_statistics(model)["flops_per_sample"] == 2 * (2 * 16 * 9 + 32 * 5)


def test_parameters_are_float_initializers_and_zeros_are_seen():
    model = gemm()
    model.graph.initializer.append(numpy_helper.from_array(np.arange(9), "indices"))
    statistics = onnx_graph.count_statistics(model)
    assert (statistics["parameters"], statistics["nonzero_parameters"]) == (70, 66)


@pytest.mark.parametrize("op", ["ConvTranspose", "Einsum", "LSTM", "QLinearMatMul", "MatMulInteger", "If"])
def test_flops_are_left_out_where_an_operator_is_not_counted(op):
    model = matmul()
    model.graph.node.append(helper.make_node(op, ["y"], ["z"]))
    assert "flops_per_sample" not in onnx_graph.count_statistics(model)
    assert onnx_graph.count_statistics(model)["parameters"] == 21


def test_flops_are_left_out_where_a_fused_operator_hides_them():
    model = matmul()
    model.graph.node.append(helper.make_node("FusedMatMul", ["y", "w"], ["z"], domain="com.microsoft"))
    assert "flops_per_sample" not in onnx_graph.count_statistics(model)


def test_flops_are_left_out_where_a_shape_is_free():
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = graph(
        [node], [value("x", ["n", "length", 7])], [value("y", ["n", "length", 3])], [weight("w", 7, 3)]
    )
    assert "flops_per_sample" not in onnx_graph.count_statistics(model)


def test_shapes_behind_a_function_of_the_model_are_known():
    """Exporters write what they have no operator for as a function; the product behind it still counts."""
    body = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("own", "Act", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    nodes = [
        helper.make_node("Act", ["x"], ["h"], domain="own"),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    model = graph(nodes, [value("x", ["n", 7])], [value("y", ["n", 3])], [weight("w", 7, 3)])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert node_flops(model) == [None, 2 * 7 * 3]


def test_counting_does_not_change_the_model():
    model = conv()
    before = model.SerializeToString()
    onnx_graph.count_statistics(model)
    assert model.SerializeToString() == before


# ------------------------------------------------------------------ against torch


@pytest.mark.parametrize("name", ["mnist-mlp", "mnist-cnn", "mnist-resnet"])
def test_the_zoo_has_the_same_flops_by_torch_and_by_onnx(name, tmp_path):
    """Parameters differ by the batch norms, which the exporter folds into the convolutions."""
    from harness.artifacts.artifact import Artifact

    zoo = SOURCES.get("zoo")
    (tmp_path / "module").mkdir()
    inputs = zoo.build(zoo.config(zoo=name), tmp_path, tmp_path / "module")
    by_torch = count_statistics("torch-module", tmp_path / "module", inputs)
    given = Artifact("m", "torch-module", tmp_path / "module")
    artifact, _ = tiny.build("export-onnx", given, tmp_path / "onnx", tiny.Context(inputs))
    by_onnx = count_statistics("onnx", artifact.folder, inputs)
    assert by_onnx["flops_per_sample"] == by_torch["flops_per_sample"]
    assert 0.9 * by_torch["parameters"] < by_onnx["parameters"] <= by_torch["parameters"]


# ------------------------------------------------------------------ files and inputs


def save(model, path):
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not an ONNX model: its graph has no nodes"),
        (b"hello, I am text\n" * 20, "is not a valid ONNX model"),
        (b"\x00\x01\x02\xff" * 100, "is not a valid ONNX model"),
        (conv().SerializeToString()[:-60], "is not a valid ONNX model"),
        (b"\x80\x02}q\x00.", "is no"),
    ],
)
def test_a_file_that_is_no_onnx_model_is_refused_by_name(content, says, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"m\.onnx {says}") as caught:
        onnx_graph.load_checked(path)
    assert "\n" not in str(caught.value)


def test_a_model_that_breaks_the_rules_is_refused(tmp_path):
    model = conv()
    model.graph.node[0].op_type = "Convolution"
    with pytest.raises(DataError, match=r"m\.onnx is not a valid ONNX model: .*Convolution"):
        onnx_graph.load_checked(save(model, tmp_path / "m.onnx"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(DataError, match="no such ONNX file"):
            onnx_graph.load_checked(path)


def test_weights_beside_the_graph_are_taken_along(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(matmul(), str(path), save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    (tmp_path / "out").mkdir()
    _build(OnnxSource(onnx=path.name), tmp_path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.onnx"]
    assert (
        onnx_graph.count_statistics(onnx_graph.load_checked(tmp_path / "out" / "model.onnx"))["parameters"]
        == 21
    )
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(DataError, match=r"m\.onnx keeps weights in m\.onnx\.data, which is missing"):
        onnx_graph.load_checked(path)


def test_inputs_are_read_from_the_graph_without_the_batch_and_without_weights():
    node = helper.make_node("Gather", ["table", "ids"], ["e"])
    model = graph(
        [node, helper.make_node("Mul", ["e", "scale"], ["y"])],
        [value("ids", ["n", 5], TensorProto.INT64), value("scale", ["n", 5, 2]), value("table", [9, 2])],
        [value("y", ["n", 5, 2])],
        [weight("table", 9, 2)],
    )
    specs = onnx_graph.input_specs(model)
    assert [(s.name, s.shape, s.dtype) for s in specs] == [
        ("ids", (5,), "int64"),
        ("scale", (5, 2), "float32"),
    ]
    assert [value.name for value in onnx_graph.graph_inputs(model)] == ["ids", "scale"]
    assert onnx_graph.fixed_batch(model) is None
    assert onnx_graph.fixed_batch(conv(batch=4)) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            value("x", ["n", "length"]),
            r"besides the batch in ONNX input 'x' \[n, length\]; add, with your sizes, dims: \{length: 128\}",
        ),
        (
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
            r"'x' of unknown rank; add, .*, inputs: \{x: \[3, 224, 224\]\}",
        ),
        (value("x", ["n", 3], TensorProto.STRING), r"ONNX input 'x' is text \(string\): export without"),
        (value("x", ["n", 3], TensorProto.COMPLEX64), "ONNX input 'x' has dtype complex64; allowed: float32"),
        (
            helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None),
            "ONNX input 'x' is not a tensor",
        ),
    ],
)
def test_an_input_that_no_values_can_be_made_for_is_told(given, says):
    model = graph([helper.make_node("Identity", ["x"], ["y"])], [given], [value("y", None)], [])
    with pytest.raises(DataError, match=says):
        onnx_graph.input_specs(model)


# ------------------------------------------------------------------ the model source


def onnx_source(folder, **fields):
    source = SOURCES.get("onnx")
    config = source.config.model_validate({"onnx": "m.onnx", **fields})
    (folder / "out").mkdir(exist_ok=True)
    return source, config, lambda: source.build(config, folder, folder / "out")


def two_inputs():
    node = helper.make_node("Add", ["zeta", "alpha"], ["y"])
    inputs = [value("zeta", ["n", 3]), value("alpha", ["n", 3])]
    return graph([node], inputs, [value("y", ["n", 3])], [])


def test_given_inputs_are_put_in_the_order_of_the_graph(tmp_path):
    save(two_inputs(), tmp_path / "m.onnx")
    _, _, build = onnx_source(tmp_path, inputs={"alpha": [3], "zeta": [3]})
    assert [spec.name for spec in build()] == ["zeta", "alpha"]


def test_given_inputs_that_the_graph_does_not_have_are_refused(tmp_path):
    save(two_inputs(), tmp_path / "m.onnx")
    _, _, build = onnx_source(tmp_path, inputs={"alpha": [3], "beta": [3]})
    with pytest.raises(DataError, match="inputs name beta; the ONNX graph has alpha, zeta"):
        build()


def test_given_inputs_resolve_free_dimensions(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    save(graph([node], [value("x", ["n", "l"])], [value("y", ["n", "l"])], []), tmp_path / "m.onnx")
    _, _, build = onnx_source(tmp_path, inputs={"x": [12]})
    assert build()[0].shape == (12,)


def test_the_identity_follows_the_file_and_what_is_given_with_it(tmp_path):
    def identity(**fields):
        source, config, _ = onnx_source(tmp_path, **fields)
        return source.identity(config, tmp_path)

    save(matmul(), tmp_path / "m.onnx")
    first = identity()
    assert identity() == first
    assert identity(inputs={"x": [5, 7]}) != first
    assert identity(dataset="mnist") != first
    save(conv(), tmp_path / "m.onnx")
    assert identity() != first
    other = identity()
    (tmp_path / "m.onnx.data").write_bytes(b"a file that the graph does not name is none of its weights")
    assert identity() == other


def test_a_missing_model_file_is_told_without_importing_onnx(tmp_path):
    source, config, _ = onnx_source(tmp_path)
    with pytest.raises(DataError, match=r"m\.onnx: no such file beside the suite"):
        source.identity(config, Path(tmp_path))


def of_inputs(*shapes):
    inputs = [
        onnx.helper.make_tensor_value_info(f"x{i}", onnx.TensorProto.FLOAT, shape)
        for i, shape in enumerate(shapes)
    ]
    nodes = [onnx.helper.make_node("Sum", [value.name for value in inputs], ["y"])]
    out = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", inputs, out))


def test_a_batch_that_any_input_is_fixed_to_is_the_only_one():
    model = of_inputs(["n", 4], [3, 4])
    assert onnx_graph.fixed_batch(model) == 3
    assert [spec.shape for spec in onnx_graph.input_specs(model)] == [(4,), (4,)]
    assert onnx_graph.fixed_batch(of_inputs(["n", 4], ["n", 4])) is None


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (
            (["n", 4], []),
            r"'x1' \[\]; .* inputs: \{x1: \{shape: \[\], dtype: float32, batch_axis: null, value: 1\}\}",
        ),
        (([2, 4], [1, 4]), "inputs are fixed to 2 and 1; all must be the same batch"),
    ],
)
def test_inputs_without_one_batch_are_refused(shapes, says):
    with pytest.raises(DataError, match=says):
        onnx_graph.input_specs(of_inputs(*shapes))


def test_a_users_graph_gets_a_batch_called_so_and_the_given_sizes_and_stays_free_of_other_names(tmp_path):
    """Input x [?, time], mask [rows, ?]: both firsts are the batch; the output follows what it names."""
    nodes = [helper.make_node("Mul", ["x", "mask"], ["y"]), helper.make_node("ReduceSum", ["y"], ["z"])]
    values = [value("x", [None, "time"]), value("mask", ["rows", None])]
    outputs = [value("y", ["rows", "time"]), value("z", ["kept", "kept"])]
    save(graph(nodes, values, outputs, []), tmp_path / "m.onnx")
    (tmp_path / "out").mkdir()
    specs = [{"name": "mask", "shape": (6,)}, {"name": "x", "shape": (6,)}]
    found = _build(OnnxSource.model_validate({"onnx": "m.onnx", "inputs": specs}), tmp_path, tmp_path / "out")
    assert [(spec.name, spec.shape) for spec in found] == [("x", (6,)), ("mask", (6,))]
    made = onnx_graph.load_checked(tmp_path / "out" / onnx_graph.MODEL)
    dims = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*made.graph.input, *made.graph.output)
    }
    assert dims == {"x": ["batch", 6], "mask": ["batch", 6], "y": ["batch", 6], "z": ["kept", "kept"]}
    assert onnx_graph.input_specs(made) == list(found)
