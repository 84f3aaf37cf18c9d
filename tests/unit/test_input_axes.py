"""Batch axes of inputs and outputs, fixed values, sizes by name, and old opsets, on tiny ONNX graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from onnx import TensorProto, helper, numpy_helper

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, DataError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.inputs import resolve_inputs
from harness.formats.onnx.rewriting import fix_inputs
from harness.formats.onnx.versions import modernized
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec, check_arrays, completed, refuse_other_axes
from harness.runner.workers.audits.same_outputs import SameOutputs
from harness.runner.workers.evaluation import Evaluation
from harness.runner.workers.evaluation_data import read_evaluation_data
from harness.runner.workers.evaluation_truth import Asked, write_evaluation_data
from harness.runtimes.registry import RUNTIMES
from harness.store.arrays import unpack
from harness.suite.sizes import expand_sizes
from harness.techniques.quantize.calibration import batches, used
from harness.zoo.registry import METRICS, Data
from harness.zoo.sources.onnx_file import OnnxSource
from harness.zoo.sources.torch_factory import TorchSource

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((8, 10)).astype(np.float32)


def value(name: str, shape: Any, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes: list[Any], inputs: list[Any], outputs: list[Any], opset: int = 17, **weights: Any) -> Any:
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def time_first(batch: Any = "batch") -> Any:
    """x (batch, 4, 8) → y (4, batch, 10): a recogniser whose output has time first."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    return model(nodes, [value("x", [batch, 4, 8])], [value("y", [4, batch, 10])], w=WEIGHT)


def with_state() -> Any:
    """x (batch, 8), a state (2, batch, 8) and a rate: y = (x + the state's sum) · rate @ w."""
    nodes = [
        helper.make_node("ReduceSum", ["state", "first"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["a"]),
        helper.make_node("Mul", ["a", "rate"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    inputs = [value("x", ["batch", 8]), value("state", [2, "batch", 8]), value("rate", [])]
    return model(nodes, inputs, [value("y", ["batch", 10])], w=WEIGHT, first=np.array([0], np.int64))


STATE = TensorSpec(name="state", shape=(2, 8), batch_axis=1, fill="zeros")
RATE = TensorSpec(name="rate", shape=(), batch_axis=None, value=3)


def saved(folder: Path, made: Any, specs: list[TensorSpec]) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    fix_inputs(made, specs)
    onnx_graph.save_model(made, folder / onnx_graph.MODEL)
    return Artifact("k", onnx_graph.FORMAT, folder)


def opened(artifact: Artifact, batch: int) -> Any:
    runtime = RUNTIMES.get("onnxruntime")
    return runtime.open_session(runtime.config(), artifact, Target(batch=batch, threads=1))


def evaluation_data(
    folder: Path, artifact: Artifact, specs: list[TensorSpec], data: Data | None, **axes: Any
) -> Any:
    folder.mkdir()
    write_evaluation_data(folder, artifact, tuple(specs), data, Asked("agreement", output_axes=axes or {}), 0)
    return read_evaluation_data(folder)


# ------------------------------------------------------------------ the inputs of a call


def test_samples_are_placed_along_the_batch_axis() -> None:
    spec = TensorSpec(name="x", shape=(2, 3), batch_axis=1)
    samples = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    placed = spec.place(samples)
    assert placed.shape == spec.array_shape(4) == (2, 4, 3)
    np.testing.assert_array_equal(placed[:, 3], samples[3])
    assert placed.flags.c_contiguous
    assert TensorSpec(shape=(2, 3), batch_axis=2).array_shape(4) == (2, 3, 4)


def test_an_input_without_a_batch_is_the_same_for_every_batch() -> None:
    spec = TensorSpec(name="table", shape=(3,), batch_axis=None)
    rng = np.random.default_rng(0)
    assert spec.example(5, rng).shape == spec.array_shape(5) == (3,)
    samples = spec.random(5, rng)
    assert samples.shape == (5, 3)
    assert (samples == samples[0]).all()


def test_constants_and_lengths_of_zero() -> None:
    rng = np.random.default_rng(0)
    assert RATE.example(4, rng) == np.float32(3)
    assert not STATE.example(4, rng).any()
    assert TensorSpec(shape=(2,), fill="ones", dtype="int64").random(3, rng).sum() == 6
    assert TensorSpec(shape=(2, 0, 4)).example(3, rng).shape == (3, 2, 0, 4)


def test_data_may_leave_out_what_is_constant_and_give_an_unbatched_array_once() -> None:
    table = TensorSpec(name="table", shape=(3,), batch_axis=None)
    specs = (TensorSpec(name="x", shape=(8,)), STATE, RATE, table)
    x, one = np.ones((5, 8), np.float32), np.arange(3, dtype=np.float32)
    arrays = completed((x, one), specs)
    assert check_arrays(arrays, specs, "data") == []
    assert [array.shape for array in arrays] == [(5, 8), (5, 2, 8), (5,), (5, 3)]
    np.testing.assert_array_equal(arrays[3][4], one)
    assert completed((x,), specs[:1])[0] is x


def test_steps_that_cut_outputs_refuse_another_axis() -> None:
    refuse_other_axes([TensorSpec(shape=(2,))], "method mixed")
    with pytest.raises(
        BuildError, match="method mixed needs the batch as first dimension; input 'state' has"
    ):
        refuse_other_axes([STATE], "method mixed")


def test_calibration_places_samples_along_the_axis() -> None:
    context = tiny.Context((STATE.model_copy(update={"fill": "random"}),))
    context.data = Data((np.arange(10 * 16, dtype=np.float32).reshape(10, 2, 8),))

    class Config:
        samples, batch = 10, 4

    found = batches(Config(), context)  # type: ignore[arg-type]
    assert [part["state"].shape for part in found] == [(2, 4, 8), (2, 4, 8), (2, 2, 8)]
    np.testing.assert_array_equal(found[1]["state"][:, 0], context.data.inputs[0][4])
    assert (used(context.data), used(context.data, 4)) == (10, 8)


# ------------------------------------------------------------------ evaluation


@pytest.mark.parametrize("batch", [1, 4])
def test_time_first_outputs_are_compared_by_sample(tmp_path: Path, batch: int) -> None:
    """With 4 time steps, a batch of 4 would pass for the first dimension."""
    specs = [TensorSpec(name="x", shape=(4, 8))]
    artifact = saved(tmp_path / "m", time_first(), specs)
    x = RNG.standard_normal((9, 4, 8)).astype(np.float32)
    data = evaluation_data(tmp_path / "d", artifact, specs, Data((x,)))
    assert (data.unscored, data.output_axes) == (None, (1,))
    np.testing.assert_allclose(data.truth, x @ WEIGHT, rtol=1e-4, atol=1e-4)
    audit = SameOutputs()
    session, pool = opened(artifact, batch), data.pool(batch)
    audit.timed(0, data.output_rows(session.run(pool[0])))
    evaluation = Evaluation(
        session, batch, pool, data, [audit], lambda _: None, lambda: None, METRICS.get(data.metric)
    )
    scores = unpack(evaluation.run(None, None, 0)["scores"])
    assert (scores.shape, scores.min()) == ((9,), 1.0)
    assert audit.finding().state == "passed"


def test_states_and_fixed_values_take_their_places(tmp_path: Path) -> None:
    specs = [TensorSpec(name="x", shape=(8,)), STATE, RATE]
    artifact = saved(tmp_path / "m", with_state(), specs)
    x = RNG.standard_normal((5, 8)).astype(np.float32)
    data = evaluation_data(tmp_path / "d", artifact, specs, Data((x,)))
    np.testing.assert_allclose(data.truth, x * 3 @ WEIGHT, rtol=1e-4, atol=1e-4)
    assert [array.shape for array in data.batch(1, 3)] == [(3, 8), (2, 3, 8), ()]
    loaded = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    assert onnx_graph.fixed_batch(loaded) is None
    assert opened(artifact, 3).fixed_batch == 3
    statistics = onnx_graph.count_statistics(loaded)
    assert statistics["flops_per_sample"] == 2 * 8 * 10


def test_rows_that_depend_on_values_are_timed_without_quality(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "limit"], ["big"]),
        helper.make_node("NonZero", ["big"], ["at"]),
        helper.make_node("Transpose", ["at"], ["y"], perm=[1, 0]),
    ]
    inputs, outputs = [value("x", ["batch", 16])], [value("y", ["found", 2], TensorProto.INT64)]
    specs = [TensorSpec(name="x", shape=(16,))]
    made = model(nodes, inputs, outputs, limit=np.array(1.0, np.float32))
    artifact = saved(tmp_path / "m", made, specs)
    data = evaluation_data(tmp_path / "d", artifact, specs, None)
    assert data.unscored is not None
    evaluation = Evaluation(
        opened(artifact, 2), 2, data.pool(2), data, [], lambda _: None, lambda: None, METRICS.get(data.metric)
    )
    event = evaluation.run(None, None, 0)
    assert (unpack(event["scores"]).size, event["warning"]) == (0, data.unscored)


def test_a_batch_that_is_free_in_name_only_is_evaluated_at_the_one_that_works(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "one"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    made = model(
        nodes, [value("x", ["b", 2, 4])], [value("y", ["b", 10])], w=WEIGHT, one=np.array([1, 8], np.int64)
    )
    specs = [TensorSpec(name="x", shape=(2, 4))]
    artifact = saved(tmp_path / "m", made, specs)
    x = RNG.standard_normal((3, 2, 4)).astype(np.float32)
    data = evaluation_data(tmp_path / "d", artifact, specs, Data((x,)))
    np.testing.assert_allclose(data.truth, x.reshape(3, 8) @ WEIGHT, rtol=1e-4, atol=1e-4)


def test_a_given_output_axis_is_taken_and_a_strange_name_refused(tmp_path: Path) -> None:
    specs = [TensorSpec(name="x", shape=(4, 8))]
    artifact = saved(tmp_path / "m", time_first(batch=4), specs)
    x = RNG.standard_normal((8, 4, 8)).astype(np.float32)
    data = evaluation_data(tmp_path / "d", artifact, specs, Data((x,)), y=1)
    np.testing.assert_allclose(data.truth, x @ WEIGHT, rtol=1e-4, atol=1e-4)
    with pytest.raises(BuildError, match="outputs names z; the model has y"):
        evaluation_data(tmp_path / "e", artifact, specs, Data((x,)), z=1)


# ------------------------------------------------------------------ sizes


def test_sizes_by_name_are_those_of_all_inputs_and_of_the_suites_shapes() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    inputs = [value("a", ["batch", "length"]), value("b", ["batch", "length"])]
    found = resolve_inputs(model(nodes, inputs, [value("y", None)]), (), {"length": 7})
    assert [spec.shape for spec in found.specs] == [(7,), (7,)]
    with pytest.raises(DataError, match="dims name width; free dimensions of the ONNX graph: batch, length"):
        resolve_inputs(model(nodes, inputs, [value("y", None)]), (), {"width": 7})
    with pytest.raises(DataError, match="dims name batch: the batch is set by the workload"):
        resolve_inputs(model(nodes, inputs, [value("y", None)]), (), {"batch": 7})
    given = {"torch": "nets:f", "dims": {"s": 9}, "inputs": {"ids": {"shape": ["s"]}, "x": ["s", 2]}}
    config = TorchSource.model_validate(TorchSource.sized(given))
    assert [spec.shape for spec in config.inputs] == [(9,), (9, 2)]
    again = TorchSource.model_validate_json(json.dumps(config.model_dump(mode="json", exclude_unset=True)))
    assert again == config
    with pytest.raises(ValueError, match="no shape under inputs uses t"):
        TorchSource.sized({**given, "dims": {"s": 9, "t": 1}})


def test_a_list_of_sizes_makes_a_model_for_each() -> None:
    raw = {"onnx": "m.onnx", "dims": {"sequence": [64, 128], "past": 0}}
    assert {name: one["dims"] for name, one in expand_sizes("m", raw).items()} == {
        "m@sequence=64": {"sequence": 64, "past": 0},
        "m@sequence=128": {"sequence": 128, "past": 0},
    }
    assert expand_sizes("m", {"onnx": "m.onnx"}) == {"m": {"onnx": "m.onnx"}}
    assert OnnxSource(onnx="m.onnx").content() == {"onnx": "m.onnx"}  # as before: Cell ids stay


@pytest.mark.parametrize(
    ("shape", "filled"),
    [
        (["n", 3, None, None], (3, 224, 224)),
        (["n", "h", "w", 1], (224, 224, 1)),
        (["n", "sequence_length"], (128,)),
        (["seq_len", "batch_size", 80], (128, 80)),
    ],
)
def test_usual_sizes_are_filled_in_and_told(shape: list[Any], filled: tuple[int, ...]) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", shape)], [value("y", None)])
    found = resolve_inputs(made)
    assert found.specs[0].shape == filled
    assert found.specs[0].batch_axis == (1 if "batch_size" in shape else 0)
    assert any("filled in" in notice for notice in found.notices)


@pytest.mark.parametrize(
    "shape", [["n", 1, 32, None], ["n", None, None, None], ["n", "past_sequence_length"]]
)
def test_other_sizes_are_not_guessed(shape: list[Any]) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", shape)], [value("y", None)])
    with pytest.raises(DataError, match="add, with your sizes"):
        resolve_inputs(made)


def test_the_graphs_dtype_is_taken_where_the_suite_names_none() -> None:
    made = model(
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", ["n", None], TensorProto.FLOAT16)],
        [value("y", None, TensorProto.FLOAT16)],
    )
    assert resolve_inputs(made, [TensorSpec(name="x", shape=(3,))]).specs[0].dtype == "float16"
    with pytest.raises(DataError, match="has dtype float32; the ONNX graph has float16"):
        resolve_inputs(made, [TensorSpec(name="x", shape=(3,), dtype="float32")])


def test_optional_inputs_are_refused_in_one_line() -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    made = model([helper.make_node("OptionalGetElement", ["x"], ["y"])], [], [value("y", None)])
    made.graph.input.append(helper.make_value_info("x", kind))
    with pytest.raises(DataError, match=r"ONNX input 'x' is not a tensor \(optional\)"):
        resolve_inputs(made)


# ------------------------------------------------------------------ opsets


def test_an_old_opset_is_converted_once_and_computes_the_same() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], axis=1),  # before opset 13, over all axes from this one on
        helper.make_node("Unsqueeze", ["s"], ["y"], axes=[1]),
    ]
    made = model(nodes, [value("x", ["n", 2, 3])], [value("y", ["n", 1, 2, 3])], opset=9)
    new, notices = modernized(made, resolve_inputs(made).specs)
    assert [opset.version for opset in new.opset_import] == [13]
    assert notices == ["converted from opset 9 to 13; outputs for random inputs are equal"]
    recent = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 2])], [value("y", None)])
    assert modernized(recent, []) == (recent, [])


def test_a_graph_that_cannot_be_converted_is_kept_and_told() -> None:
    made = model(
        [helper.make_node("Mystery", ["x"], ["y"])], [value("x", ["n", 2])], [value("y", None)], opset=9
    )
    kept, notices = modernized(made, resolve_inputs(made).specs)
    assert kept is made
    assert notices[0].startswith("opset 9 is kept: onnx cannot convert it to 13: ")
