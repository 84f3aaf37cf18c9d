"""What models move: weights and activations of small graphs and modules, counted by hand."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from onnx import TensorProto, helper, numpy_helper

from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.traffic import count_traffic
from harness.formats.registry import count_statistics
from harness.formats.torch import module as torch_module


def graph(
    nodes: list, weights: dict[str, np.ndarray], batch: object = "batch", kind: int = TensorProto.FLOAT
):
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, [batch, 8])],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


W = np.ones((8, 4), np.float32)


def test_a_dense_layer() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    statistics = count_traffic(graph(nodes, {"w": W, "b": np.ones(4, np.float32)}))
    assert statistics == {"weight_bytes": 4 * 36, "activation_bytes": 4 * (8 + 4), "float32_flops_share": 1.0}


def test_half_precision_is_half_as_much_and_not_float32() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    statistics = count_traffic(graph(nodes, {"w": W.astype(np.float16)}, kind=TensorProto.FLOAT16))
    assert statistics == {"weight_bytes": 2 * 32, "activation_bytes": 2 * 12, "float32_flops_share": 0.0}


def test_weights_in_integers_count_by_their_own_size_and_are_no_activation() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = {"q": W.astype(np.int8), "scale": np.float32(0.1)}
    statistics = count_traffic(graph(nodes, weights))
    assert statistics == {"weight_bytes": 32 + 4, "activation_bytes": 4 * 12, "float32_flops_share": 0.0}


SCALES = {"s": np.float32(0.1), "z": np.int8(0)}


@pytest.mark.parametrize(("quantized_after", "moved"), [(True, 8 + 4), (False, 8 + 4 * 4)])
def test_activations_between_quantize_and_dequantize_are_a_byte_wide(
    quantized_after: bool, moved: int
) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        helper.make_node("MatMul", ["xd", "w"], ["p"]),
        helper.make_node("Relu", ["p"], ["r"]),
    ]
    if quantized_after:
        nodes += [
            helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
            helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"]),
        ]
    statistics = count_traffic(graph(nodes, {"q": W.astype(np.int8), **SCALES}))
    assert statistics["activation_bytes"] == moved


def test_a_convolution_that_no_integer_kernel_takes_moves_floats() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("Reshape", ["xd", "shape"], ["image"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        helper.make_node("Conv", ["image", "w"], ["y"]),
    ]
    weights = {"q": np.ones((1, 1, 1, 1), np.int8), "shape": np.array([-1, 1, 2, 4]), **SCALES}
    assert count_traffic(graph(nodes, weights))["activation_bytes"] == 4 * (8 + 8)


def test_a_fixed_batch_is_shared_out_among_its_items() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    fixed = onnx_graph.count_statistics(graph(nodes, {"w": W}, batch=5))
    free = onnx_graph.count_statistics(graph(nodes, {"w": W}))
    assert fixed == free
    assert free["activation_bytes_per_sample"] == 4 * 12


def test_what_hides_its_products_is_not_known_to_be_float32() -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,jk->ik")]
    assert count_traffic(graph(nodes, {"w": W})) == {"weight_bytes": 4 * 32, "float32_flops_share": 0.0}


@pytest.mark.parametrize("name", ["recurrent", "summed"])
def test_beside_hidden_products_visible_ones_are_not_taken_for_all(name: str, tmp_path: Path) -> None:
    """An LSTM's products are hidden in a module and in its graph, an Einsum's in the graph alone."""
    inputs = tiny.INPUTS[name]
    source = tiny.source(name, tmp_path / "module")
    exported, _ = tiny.build("export-onnx", source, tmp_path / "onnx", tiny.Context(inputs))
    module = count_statistics(torch_module.FORMAT, source.folder, inputs)
    graph_ = onnx_graph.count_statistics(onnx_graph.load_checked(exported.file(onnx_graph.MODEL)))
    assert {"flops_per_sample", "activation_bytes_per_sample"}.isdisjoint(graph_)
    assert module.get("flops_per_sample") == (None if name == "recurrent" else 360)
    assert ("activation_bytes_per_sample" in module) == (name == "summed")


@pytest.mark.parametrize("name", ["dense", "conv", "two_inputs"])
def test_a_module_and_its_export_move_about_as_much(name: str, tmp_path: Path) -> None:
    inputs = tiny.INPUTS[name]
    source = tiny.source(name, tmp_path / "module")
    exported, _ = tiny.build("export-onnx", source, tmp_path / "onnx", tiny.Context(inputs))
    module = count_statistics(torch_module.FORMAT, source.folder, inputs)
    graph_ = onnx_graph.count_statistics(onnx_graph.load_checked(exported.file(onnx_graph.MODEL)))
    assert module["float32_flops_share"] == graph_["float32_flops_share"] == 1.0
    assert module["activation_bytes_per_sample"] == graph_["activation_bytes_per_sample"] > 0
    assert module["weight_bytes"] == pytest.approx(graph_["weight_bytes"], rel=0.2)  # folded norms, shapes


def test_an_int8_graph_is_not_float32(tmp_path: Path) -> None:
    source = tiny.source("dense", tmp_path / "module")
    exported, _ = tiny.build("export-onnx", source, tmp_path / "onnx", tiny.Context())
    quantized, _ = tiny.build("quantize/dynamic", exported, tmp_path / "int8", tiny.Context())
    before, after = (
        onnx_graph.count_statistics(onnx_graph.load_checked(one.file(onnx_graph.MODEL)))
        for one in (exported, quantized)
    )
    assert after["float32_flops_share"] < 1
    assert after["weight_bytes"] < before["weight_bytes"]


@pytest.mark.parametrize(("also_multiplied", "read"), [(False, 0), (True, 32 + 4)])
def test_a_quantized_table_that_is_looked_up_in_is_no_weight(also_multiplied: bool, read: int) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        helper.make_node("Gather", ["w", "x"], ["y" if not also_multiplied else "rows"]),
    ]
    if also_multiplied:
        nodes.append(helper.make_node("MatMul", ["rows", "w"], ["y"]))
    tables = {"q": np.ones((8, 4), np.int8), "s": np.float32(0.1)}
    assert count_traffic(graph(nodes, tables, kind=TensorProto.INT64))["weight_bytes"] == read


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        # joint projection, scores and their products with values in 2 heads, output, two dense layers, head
        ("attention", 2 * (5 * 8 * 24 + 2 * (2 * 5 * 5 * 4) + 5 * 8 * 8 + 2 * 5 * 8 * 16 + 8 * 3)),
        # each of 25 pixels to 3 × 3 of 16 channels; 9 × 9 pixels from 3 × 3 of 16; the head
        ("upward", 2 * (25 * 4 * 16 * 9 + 81 * 16 * 2 * 9 + 162 * 3)),
    ],
)
@pytest.mark.parametrize("format", ["torch-module", "onnx"])
def test_fused_attention_and_transposed_convolutions_count(
    name: str, flops: int, format: str, tmp_path: Path
) -> None:
    artifact = tiny.source(name, tmp_path / "source")
    if format == "onnx":
        artifact, _ = tiny.build("export-onnx", artifact, tmp_path / "onnx", tiny.Context(tiny.INPUTS[name]))
    assert count_statistics(format, artifact.folder, tiny.INPUTS[name])["flops_per_sample"] == flops
