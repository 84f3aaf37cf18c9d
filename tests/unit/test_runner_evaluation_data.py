"""The evaluation data: batches that wrap around; labels, or reference outputs where those are needed."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.tensors import TensorSpec
from harness.runner.workers.evaluation_data import EvaluationData, read_evaluation_data, read_notes
from harness.runner.workers.evaluation_truth import RANDOM_SAMPLES, Asked, write_evaluation_data
from harness.zoo.registry import Data

SPEC = (TensorSpec(name="x", shape=(4,)),)
WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def source(
    folder: Path, batch: int | str = "batch", weights: np.ndarray = WEIGHTS, axes: int = 2
) -> Artifact:
    """An ONNX model x @ weights; `axes` 1 sums the batch away."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    out = [batch, 3]
    if axes == 1:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("ReduceSum", ["z"], ["y"], keepdims=0),
        ]
        out = []
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    folder.mkdir(exist_ok=True)
    onnx.save(model, str(folder / onnx_graph.MODEL))
    return Artifact("k", onnx_graph.FORMAT, folder)


def made(tmp_path: Path, artifact: Artifact, data: Data | None, metric: str, seed: int = 0) -> EvaluationData:
    folder = tmp_path / f"data {seed}"
    folder.mkdir()
    write_evaluation_data(folder, artifact, SPEC, data, metric, seed)
    return read_evaluation_data(folder)


def samples(count: int) -> np.ndarray:
    return np.arange(count * 4, dtype=np.float32).reshape(count, 4) / 100


def test_batches_wrap_around_at_the_end() -> None:
    data = EvaluationData((samples(5), np.arange(5)), np.arange(5), "top-1")
    first, numbers = data.batch(1, 3)
    np.testing.assert_array_equal(numbers, [3, 4, 0])
    np.testing.assert_array_equal(first, samples(5)[[3, 4, 0]])
    np.testing.assert_array_equal(data.batch(0, 12)[1], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1])


def test_batches_are_copies_in_memory(tmp_path: Path) -> None:
    data = made(tmp_path, source(tmp_path / "m"), Data((samples(8),), np.zeros(8, np.int64)), "top-1")
    (batch,) = data.batch(0, 4)
    assert isinstance(data.inputs[0], np.memmap)
    assert not isinstance(batch, np.memmap)
    assert batch.flags.c_contiguous
    assert batch.flags.writeable
    assert batch.dtype == np.float32


def test_labels_are_the_truth_where_the_metric_takes_them(tmp_path: Path) -> None:
    labels = np.array([2, 0, 1])
    data = made(tmp_path, source(tmp_path / "m"), Data((samples(3),), labels), "top-1")
    np.testing.assert_array_equal(data.truth, labels)
    assert (data.metric, len(data)) == ("top-1", 3)


@pytest.mark.parametrize("data", [None, Data((samples(3),), None)])
def test_a_metric_that_needs_labels_is_refused_without(tmp_path: Path, data: Data | None) -> None:
    with pytest.raises(
        BuildError, match="top-1 needs labels; without a dataset use agreement, relative-error or cosine"
    ):
        made(tmp_path, source(tmp_path / "m"), data, "top-1")


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
def test_reference_outputs_are_the_truth_of_fidelity(tmp_path: Path, count: int) -> None:
    data = made(tmp_path, source(tmp_path / "m"), Data((samples(count),)), "agreement")
    np.testing.assert_allclose(data.truth, samples(count) @ WEIGHTS, rtol=1e-5)
    assert len(data) == count


def test_without_a_dataset_seeded_random_items_are_used(tmp_path: Path) -> None:
    artifact = source(tmp_path / "m")
    one, other = made(tmp_path, artifact, None, "cosine"), made(tmp_path, artifact, None, "cosine", seed=1)
    assert len(one) == RANDOM_SAMPLES
    assert not np.array_equal(one.inputs[0], other.inputs[0])
    again = np.random.default_rng(0)
    np.testing.assert_array_equal(one.inputs[0], SPEC[0].random(RANDOM_SAMPLES, again))


@pytest.mark.parametrize(("batch", "count"), [(4, 8), (4, 11), (5, 3)])
def test_a_graph_of_fixed_batch_gives_a_reference_for_each_sample(
    tmp_path: Path, batch: int, count: int
) -> None:
    data = made(tmp_path, source(tmp_path / "m", batch), Data((samples(count),)), "agreement")
    np.testing.assert_allclose(data.truth, samples(count) @ WEIGHTS, rtol=1e-5)


def test_outputs_without_a_batch_have_no_quality_and_say_why(tmp_path: Path) -> None:
    data = made(tmp_path, source(tmp_path / "m", axes=1), Data((samples(64),)), "agreement")
    assert data.unscored is not None
    assert "no batch dimension" in data.unscored
    assert (len(data), data.output_axes) == (64, (None,))


def test_a_reference_with_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="output contains NaN"):
        made(tmp_path, source(tmp_path / "m", weights=WEIGHTS * np.nan), Data((samples(8),)), "agreement")


def test_a_form_that_no_runtime_takes(tmp_path: Path) -> None:
    artifact = Artifact("k", "papyrus", tmp_path)
    with pytest.raises(BuildError, match="no runtime takes the format papyrus"):
        made(tmp_path, artifact, Data((samples(3),)), "agreement")


def test_the_description_names_what_there_is(tmp_path: Path) -> None:
    made(tmp_path, source(tmp_path / "m"), Data((samples(3),), np.zeros(3, np.int64)), "top-1")
    description = json.loads((tmp_path / "data 0" / "data.json").read_text())
    wanted = {
        "inputs": 1,
        "metric": "top-1",
        "axes": [0],
        "output_axes": [0],
        "unscored": None,
        "notes": [],
        "warnings": [],
        "view": {"outputs": [0], "class_axis": 1, "threshold": None, "scales": []},
    }
    assert {name: description[name] for name in wanted} == wanted


def test_random_samples_are_described_and_warnings_are_kept(tmp_path: Path) -> None:
    made(tmp_path, source(tmp_path / "m"), None, "cosine")
    assert read_notes(tmp_path / "data 0") == {"notes": ["x: standard normal numbers"], "warnings": []}
    data = Data((samples(3),), notes=("read",), warnings=("few",))
    made(tmp_path, source(tmp_path / "m"), data, "cosine", seed=1)
    assert read_notes(tmp_path / "data 1") == {"notes": ["read"], "warnings": ["few"]}


def test_labels_that_do_not_fit_the_metric_are_refused_before_anything_is_timed(tmp_path: Path) -> None:
    data = Data((samples(5),), np.linspace(0, 1, 5))
    with pytest.raises(BuildError, match=r"the metric top-1 does not fit: .*; metrics that fit: .*agreement"):
        made(tmp_path, source(tmp_path / "m"), data, "top-1")


def test_without_a_stated_metric_one_is_found_and_told(tmp_path: Path) -> None:
    data = Data((samples(5),), np.arange(5) % 3)
    folder = tmp_path / "data"
    folder.mkdir()
    write_evaluation_data(folder, source(tmp_path / "m"), SPEC, data, Asked(), 0)
    assert read_evaluation_data(folder).metric == "top-1"
    assert read_notes(folder)["notes"] == ["metric: top-1, since integer labels, 3 classes on axis 1"]
    assert read_evaluation_data(folder).truth.tolist() == [0, 1, 2, 0, 1]


def test_a_metric_that_was_not_stated_is_replaced_where_it_could_not_fail(tmp_path: Path) -> None:
    weights = np.zeros((4, 3), np.float32)
    folder = tmp_path / "data"
    folder.mkdir()
    asked = Asked("agreement", stated=False)
    write_evaluation_data(folder, source(tmp_path / "m", weights=weights), SPEC, None, asked, 0)
    assert read_evaluation_data(folder).metric == "relative-error"
    with pytest.raises(BuildError, match="class 0 for all samples, so agreement could not fail"):
        made(tmp_path, source(tmp_path / "m", weights=weights), None, "agreement")


def test_outputs_that_depend_on_the_rest_of_the_batch_are_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / "m").mkdir()
    onnx.save(model, str(tmp_path / "m" / onnx_graph.MODEL))
    made(tmp_path, Artifact("k", onnx_graph.FORMAT, tmp_path / "m"), None, "cosine")
    (warning,) = read_notes(tmp_path / "data 0")["warnings"]
    assert warning.startswith("the model's outputs depend on the rest of the batch (")
    assert warning.endswith("the reference outputs are of batch 32")
