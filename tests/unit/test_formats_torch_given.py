"""Modules as people write them: each works as given, and what its own code does is told or put right."""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, DataError
from harness.formats.registry import count_statistics
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.outputs import named_outputs
from harness.runtimes.registry import RUNTIMES

torch = pytest.importorskip("torch")

X = (TensorSpec(name="x", shape=(8,)),)


def given(name, folder, inputs=X, **kwargs):
    """Build the source Artifact as the build worker does; return it, what was examined, and the module."""
    factory = f"given_factories:{name}"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates some of these layers
        module = torch_module.call_factory(factory, kwargs)
    folder.mkdir(parents=True, exist_ok=True)
    torch_module.save_module(module, folder, factory, kwargs, inputs=inputs)
    examined = torch_module.examine(folder, inputs)
    torch.manual_seed(99)  # another process has another seed
    return Artifact("given", torch_module.FORMAT, folder), examined, module


def opened(artifact, runtime="torch-eager", batch=3):
    entry = RUNTIMES.get(runtime)
    return entry.open_session(entry.config(), artifact, Target(batch=batch, threads=1))


def own(module, arrays, call=lambda module, tensors: module(*tensors)):
    with torch.no_grad():
        result = call(module, [torch.from_numpy(array.copy()) for array in arrays])
    return [part.numpy().copy() for _, part in named_outputs(result)]


def assert_equal(ours, theirs, **tolerance):
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, **(tolerance or {"rtol": 1e-5, "atol": 1e-6}))


TAKEN = (
    *("weight_norm", "old_weight_norm", "spectral_norm", "old_spectral_norm", "orthogonal", "masked"),
    *("class_inside", "class_of_a_new_name", "traced", "exported", "scripted", "compiled", "kept"),
    *("nothing", "table", "attributes", "unregistered", "slots", "lazy", "hooked", "tied", "quantized"),
    *("changing", "reusing", "branching", "batch_statistics"),
)


@pytest.mark.parametrize("name", TAKEN)
def test_a_module_as_given_gives_its_own_outputs_in_eager(name, tmp_path):
    artifact, examined, module = given(name, tmp_path)
    session = opened(artifact)
    for seed in (1, 2, 1):
        inputs = tiny.samples(X, 3, seed)
        assert_equal(session.run(inputs), own(module, inputs))
    (output,) = examined.outputs
    assert (output.name, output.shape, output.dtype, output.batch_axis) == ("output", (4,), "float32", 0)
    assert count_statistics(artifact.format, artifact.folder, X)["parameters"] > 0 or name == "quantized"


NO_GRAPH = {"scripted", "quantized", "branching", "reusing"}


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in NO_GRAPH])
def test_an_exported_graph_agrees_with_the_module_as_given(name, tmp_path):
    artifact, _, module = given(name, tmp_path / "m")
    graph, _ = tiny.build("export-onnx", artifact, tmp_path / "o", tiny.Context(X))
    inputs = tiny.samples(X, 3)
    assert_equal(opened(graph, "onnxruntime").run(inputs), own(module, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "scripted",
            r"the model is a scripted module \(torch\.jit\), .* return the module before torch\.jit",
        ),
        ("quantized", r"layer 'body' holds packed quantized weights .*: give the float model"),
        ("branching", r"its forward branches on the values of a tensor"),
        ("reusing", r"memory is mutated in the forward method"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(name, says, tmp_path):
    artifact, _, _ = given(name, tmp_path / "m")
    with pytest.raises(BuildError, match=says) as error:
        tiny.build("export-onnx", artifact, tmp_path / "o", tiny.Context(X))
    assert "\n" not in str(error.value)


def test_an_export_that_fails_names_the_line_of_the_models_own_code(tmp_path):
    artifact, _, _ = given("branching", tmp_path / "m")
    with pytest.raises(BuildError) as error:
        tiny.build("export-program", artifact, tmp_path / "o", tiny.Context(X))
    frames = traceback.extract_tb(error.value.__cause__.__traceback__)
    (line,) = {frame.line for frame in frames if frame.filename.endswith("given_factories.py")}
    assert line == "if x.sum() > 0:"


@pytest.mark.parametrize("name", ["weight_norm", "old_weight_norm", "masked", "spectral_norm"])
def test_weights_that_are_computed_in_each_call_are_constants_in_the_graph(name, tmp_path):
    artifact, _, _ = given(name, tmp_path / "m")
    graph, details = tiny.build("export-onnx", artifact, tmp_path / "o", tiny.Context(X))
    assert set(details["operators"]) == {"Gemm", "Relu"}
    _, report = tiny.build("quantize/dynamic", graph, tmp_path / "q", tiny.Context(X))
    assert sum(report["integer_operators"].values()) >= 2


def test_a_step_that_folds_computed_weights_saves_them_as_plain_ones(tmp_path):
    artifact, _, _ = given("weight_norm", tmp_path / "m")
    pruned, report = tiny.build(
        "prune/unstructured", artifact, tmp_path / "p", tiny.Context(X), sparsity=0.5, finetune={"epochs": 0}
    )
    assert report["sparsity"] == pytest.approx(0.5, abs=0.01)
    loaded = torch_module.load_module(pruned.folder)
    assert sorted(loaded.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert float((loaded[0].weight == 0).sum() + (loaded[2].weight == 0).sum()) / 192 == pytest.approx(0.5)


# ------------------------------------------------------------------ how a module is called


@pytest.mark.parametrize(
    ("name", "dtype"), [("half", "float16"), ("bfloat16", "bfloat16"), ("double", "float64")]
)
def test_a_module_in_another_dtype_takes_and_returns_float32(name, dtype, tmp_path):
    artifact, examined, module = given(name, tmp_path)
    assert examined.warnings == (
        f"its parameters are {dtype}: each call casts float inputs to it, and outputs to float32",
    )
    inputs = tiny.samples(X, 3)
    kind = getattr(torch, dtype)
    expected = own(module, inputs, lambda module, tensors: module(tensors[0].to(kind)).float())
    assert_equal(opened(artifact).run(inputs), expected)


@pytest.mark.parametrize(
    ("name", "inputs", "call"),
    [
        ("by_name", X, lambda module, tensors: module(x=tensors[0])),
        ("from_dict", X, lambda module, tensors: module({"x": tensors[0]})),
        (
            "optional",
            (*X, TensorSpec(name="mask", shape=(8,))),
            lambda module, tensors: module(tensors[0], mask=tensors[1]),
        ),
        (
            "optional",
            (TensorSpec(name="shift", shape=(8,)), *X),
            lambda module, tensors: module(tensors[1], tensors[0]),
        ),
    ],
)
def test_inputs_reach_the_parameters_of_their_names(name, inputs, call, tmp_path):
    artifact, _, module = given(name, tmp_path / "m", inputs)
    arrays = tiny.samples(inputs, 3)
    expected = own(module, arrays, call)
    assert_equal(opened(artifact).run(arrays), expected)
    graph, _ = tiny.build("export-onnx", artifact, tmp_path / "o", tiny.Context(inputs))
    assert_equal(opened(graph, "onnxruntime").run(arrays), expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_changes_its_input_gets_a_copy_in_each_call_and_this_is_told(tmp_path):
    artifact, examined, _ = given("changing", tmp_path)
    assert examined.warnings == (
        "the forward changes its input 'x': each call works on a copy, which is timed",
    )
    session, inputs = opened(artifact), tiny.samples(X, 3)
    before = inputs[0].copy()
    call = session.bind(inputs)
    assert_equal(call(), call(), rtol=0, atol=0)
    np.testing.assert_array_equal(inputs[0], before)


def test_outputs_in_memory_that_the_model_uses_again_do_not_change_later(tmp_path):
    artifact, examined, _ = given("reusing", tmp_path)
    assert "memory that its next call changes" in examined.warnings[0]
    session = opened(artifact)
    first = session.run(tiny.samples(X, 3, 1))[0]
    before = first.copy()
    session.run(tiny.samples(X, 3, 2))
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("random", "two calls with the same inputs give different outputs"),
        ("batch_statistics", "depend on the other samples of its batch"),
        ("quantized", "depend on the other samples of its batch"),
    ],
)
def test_outputs_that_depend_on_more_than_the_sample_are_told(name, says, tmp_path):
    _, examined, _ = given(name, tmp_path)
    assert any(says in warning for warning in examined.warnings)


def test_nothing_is_told_of_a_module_without_any_of_this(tmp_path):
    for name in ("weight_norm", "hooked", "attributes", "nothing", "unregistered"):
        assert given(name, tmp_path / name)[1].warnings == ()


def test_a_model_that_takes_no_batch_of_one_is_counted_at_another(tmp_path):
    artifact, examined, _ = given("batch_statistics", tmp_path)
    assert "takes no batch of 1; what is counted per sample is of batch 2" in examined.warnings[0]
    statistics = count_statistics(artifact.format, artifact.folder, X)
    assert statistics["flops_per_sample"] == 2 * (8 * 16 + 16 * 4)


def test_a_model_that_fails_at_each_batch_is_refused_with_its_inputs(tmp_path):
    with pytest.raises(BuildError, match=r"fails on random inputs \(x \[7\] float32\): RuntimeError: mat1"):
        given("class_inside", tmp_path, (TensorSpec(name="x", shape=(7,)),))


# ------------------------------------------------------------------ what is kept and what is not


def test_what_a_factory_sets_in_the_process_is_put_back(tmp_path):
    before = torch.get_num_threads(), Path.cwd(), list(sys.path)
    try:
        given("restless", tmp_path)
        assert (torch.get_num_threads(), Path.cwd()) == before[:2]
        assert sys.path == [*before[2], "/no/such/folder"]
        assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_device() == torch.device("cpu")
        assert torch.is_grad_enabled()
    finally:
        sys.path[:] = before[2]


def test_tensors_outside_the_state_dict_are_stored_only_where_the_factory_makes_others(tmp_path):
    artifact, _, module = given("table", tmp_path / "a")
    assert not artifact.file(torch_module.OUTSIDE).exists()
    module.table += 1
    (tmp_path / "b").mkdir()
    torch_module.save_changed(module, artifact.folder, tmp_path / "b")
    assert (tmp_path / "b" / torch_module.OUTSIDE).is_file()
    torch.testing.assert_close(torch_module.load_module(tmp_path / "b").table, module.table)


@pytest.mark.parametrize("name", ["table", "attributes"])
def test_16_bits_reach_the_tensors_outside_the_state_dict(name, tmp_path):
    artifact, _, _ = given(name, tmp_path / "m")
    cast, _ = tiny.build("precision/bf16/module", artifact, tmp_path / "b", tiny.Context(X))
    inputs = tiny.samples(X, 3)
    assert_equal(opened(cast).run(inputs), opened(artifact).run(inputs), rtol=0.1, atol=0.1)


def test_a_module_that_its_factory_keeps_is_not_changed_by_steps(tmp_path):
    artifact, _, module = given("kept", tmp_path / "m")
    before = module.body.weight.clone()
    tiny.build(
        "prune/unstructured", artifact, tmp_path / "p", tiny.Context(X), sparsity=0.5, finetune={"epochs": 0}
    )
    torch.testing.assert_close(module.body.weight, before, rtol=0, atol=0)
    assert not module._forward_pre_hooks


def test_weights_without_values_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"'body\.weight' has no values: .* meta device"):
        given("meta", tmp_path)


# ------------------------------------------------------------------ outputs


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("nested", ["output.0", "output.1.0", "output.1.1.0"]),
        ("named", ["logits"]),
        ("dataclass", ["logits", "states.0", "states.1"]),
        ("dicts", ["output.0.scores", "output.0.boxes", "output.1.scores"]),
        ("kinds", ["output.0", "output.1", "output.2", "output.3"]),
        ("twice", ["x.2", "a", "b"]),
        ("numbers", ["logits", "temperature", "steps", "done"]),
    ],
)
def test_outputs_have_one_order_and_the_same_names_in_all_runtimes(kind, names, tmp_path):
    artifact, examined, module = given("trees", tmp_path / "m", kind=kind)
    assert [spec.name for spec in examined.outputs] == names
    inputs = tiny.samples(X, 3)
    expected = own(module, inputs)
    assert_equal(opened(artifact).run(inputs), expected)
    graph, _ = tiny.build("export-onnx", artifact, tmp_path / "o", tiny.Context(X))
    session = opened(graph, "onnxruntime")
    assert [value.name for value in session.inner.get_outputs()] == names
    assert_equal(session.run(inputs), expected, rtol=1e-4, atol=1e-5)
    program, _ = tiny.build("export-program", artifact, tmp_path / "p", tiny.Context(X))
    assert_equal(opened(program).run(inputs), expected)


def test_shapes_and_dtypes_of_outputs_are_told_without_the_batch(tmp_path):
    _, examined, _ = given("trees", tmp_path, kind="kinds")
    assert [(spec.shape, spec.dtype, spec.batch_axis) for spec in examined.outputs] == [
        ((), "int64", 0),
        ((4,), "bool", 0),
        ((), "float32", None),
        ((3,), "int64", None),
    ]


def test_complex_outputs_work_in_eager(tmp_path):
    artifact, examined, module = given("trees", tmp_path, kind="complex")
    inputs = tiny.samples(X, 3)
    assert examined.outputs[0].dtype == "complex64"
    assert_equal(opened(artifact).run(inputs), own(module, inputs))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "the model returns a str as 'label'; outputs can be tensors, numbers and None"),
        ("object", r"the model returns a Word as 'output\.1\.0'"),
        ("none", r"the model returns no tensor \(NoneType\)"),
    ],
)
def test_outputs_that_are_no_tensors_are_refused_with_their_type_and_place(kind, says, tmp_path):
    with pytest.raises(DataError, match=says):
        given("trees", tmp_path, kind=kind)
