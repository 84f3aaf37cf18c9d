"""Sessions: host arrays in, host arrays out, the same outputs everywhere, on the threads that were given."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import tiny

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.runtimes.registry import RUNTIMES, Runtime, RuntimeConfig, Session, runtime

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

NAMES = ("dense", "conv", "two_inputs", "two_outputs", "named")


def opened(name, artifact, batch=1, threads=1, **config):
    entry = RUNTIMES.get(name)
    return entry.open_session(entry.config(**config), artifact, Target(batch=batch, threads=threads))


@pytest.fixture(scope="module", params=NAMES)
def model(request, tmp_path_factory):
    """A module, the same as a graph, and its inputs."""
    folder = tmp_path_factory.mktemp(request.param)
    specs = tiny.INPUTS[request.param]
    module = tiny.source(request.param, folder / "module")
    graph, _ = tiny.build("export-onnx", module, folder / "onnx", tiny.Context(specs))
    return {"torch-eager": module, "onnxruntime": graph}, specs


@pytest.mark.parametrize(
    ("name", "config"), [("torch-eager", {}), ("onnxruntime", {"free_dimensions": True}), ("onnxruntime", {})]
)
def test_a_bound_call_agrees_with_the_module_each_time_and_at_each_batch(model, name, config):
    artifacts, specs = model
    fixed = name == "onnxruntime" and not config
    for batch in (1, 5):
        session = opened(name, artifacts[name], batch, **config)
        assert session.fixed_batch == (batch if fixed else None)
        inputs = tiny.samples(specs, batch)
        expected = tiny.eager(artifacts["torch-eager"], inputs)
        call = session.bind(inputs)
        for found in (call(), call(), session.run(inputs)):
            assert isinstance(found, (tuple, list))
            assert all(type(array) is np.ndarray for array in found)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        session.close()


@pytest.mark.parametrize("name", ["torch-eager", "onnxruntime"])
def test_calls_that_were_bound_apart_do_not_mix(model, name):
    artifacts, specs = model
    session = opened(name, artifacts[name], 2)
    batches = [tiny.samples(specs, 2, seed) for seed in range(3)]
    calls = [session.bind(inputs) for inputs in batches]
    kept = [[array.copy() for array in call()] for call in calls]
    for i in (2, 0, 1):
        for one, other in zip(calls[i](), kept[i], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["torch-eager", "onnxruntime"])
def test_a_call_that_comes_later_does_not_change_earlier_outputs(model, name):
    artifacts, specs = model
    session = opened(name, artifacts[name], 2)
    first = session.run(tiny.samples(specs, 2, 1))
    before = [array.copy() for array in first]
    session.run(tiny.samples(specs, 2, 2))
    for one, other in zip(first, before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_is_given_the_thread_budget(tmp_path, threads, threads_as_before):
    opened("torch-eager", tiny.source("dense", tmp_path), threads=threads)
    assert torch.get_num_threads() == threads
    assert torch.get_num_interop_threads() == 1


def by_threads(function, folder, **kwargs):
    """A module that `thread_factories` makes, as an Artifact."""
    module = torch_module.call_factory(f"thread_factories:{function}", kwargs)
    folder.mkdir()
    torch_module.save_module(module, folder, f"thread_factories:{function}", kwargs)
    return Artifact("k", torch_module.FORMAT, folder)


@pytest.mark.parametrize("asked", [1, 4])
def test_the_budget_holds_whatever_the_models_code_asks_for(tmp_path, asked, threads_as_before):
    session = opened("torch-eager", by_threads("made", tmp_path / "m", threads=asked), threads=2)
    session.run(tiny.samples(tiny.VECTOR, 1))
    assert session.threads() == torch.get_num_threads() == 2


def test_a_session_tells_that_a_call_has_set_the_threads(tmp_path, threads_as_before):
    session = opened("torch-eager", by_threads("calling", tmp_path / "m", threads=4), threads=2)
    assert session.threads() == 2
    session.run(tiny.samples(tiny.VECTOR, 1))
    assert session.threads() == 4


def test_a_models_default_dtype_changes_neither_inputs_nor_outputs(tmp_path):
    try:
        session = opened("torch-eager", by_threads("double", tmp_path / "m"))
        inputs = tiny.samples(tiny.VECTOR, 2)
        assert inputs[0].dtype == session.run(inputs)[0].dtype == np.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    return tiny.build("export-onnx", tiny.source("dense", folder / "m"), folder / "o", tiny.Context())[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_onnx_runtime_is_given_the_thread_budget(graph, threads):
    options = opened("onnxruntime", graph, threads=threads).inner.get_session_options()
    assert options.intra_op_num_threads == threads
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL


@pytest.mark.parametrize(
    ("word", "level"),
    [("disabled", "ORT_DISABLE_ALL"), ("basic", "ORT_ENABLE_BASIC"), ("all", "ORT_ENABLE_ALL")],
)
def test_onnx_runtime_optimizes_as_it_is_told(graph, word, level):
    options = opened("onnxruntime", graph, graph_optimization=word).inner.get_session_options()
    assert options.graph_optimization_level == getattr(ort.GraphOptimizationLevel, level)


def test_onnx_runtime_is_given_the_batch_so_that_no_dimension_of_an_input_is_free(model):
    artifacts, specs = model
    found = opened("onnxruntime", artifacts["onnxruntime"], batch=3).inner.get_inputs()
    assert [tuple(value.shape) for value in found] == [(3, *spec.shape) for spec in specs]


def test_a_free_dimension_of_another_name_is_told_unless_it_is_to_stay_free(tmp_path, graph):
    import onnx

    model = onnx_graph.load_checked(graph.file(onnx_graph.MODEL))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.save(model, str(tmp_path / onnx_graph.MODEL))
    artifact = type(graph)("rows", "onnx", tmp_path)
    with pytest.raises(HarnessError, match=r"'x' has a free dimension that is not called 'batch'"):
        opened("onnxruntime", artifact)
    assert opened("onnxruntime", artifact, free_dimensions=True).fixed_batch is None


def test_a_graph_of_one_batch_says_so(tmp_path, graph):
    import onnx

    model = onnx_graph.load_checked(graph.file(onnx_graph.MODEL))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, str(tmp_path / onnx_graph.MODEL))
    artifact = type(graph)("fixed", "onnx", tmp_path)
    assert opened("onnxruntime", artifact).fixed_batch == 4


def test_a_provider_that_this_build_lacks_is_told(graph):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    entry = RUNTIMES.get("onnxruntime")
    with pytest.raises(HarnessError, match="has no CUDAExecutionProvider: install onnxruntime-gpu"):
        entry.open_session(entry.config(), graph, Target(1, "cuda"))


def test_inputs_that_are_too_few_are_refused_when_they_are_bound(graph):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        opened("onnxruntime", graph).bind([])


# ------------------------------------------------------------------ the registry


def entry_of(**about):
    fields = {
        "takes": ("onnx",),
        "summary": "",
        "imports": ("no_such_package.sub",),
        "packages": ("no-such",),
    }
    return Runtime("r", RuntimeConfig, lambda *_: None, **{**fields, **about})


def test_a_missing_package_names_the_extra_or_the_package():
    assert entry_of().missing() == "no_such_package.sub is not installed: pip install 'no-such'"
    assert entry_of(extra="fast").missing() == (
        "no_such_package.sub is not installed: pip install 'accel-harness[fast]'"
    )
    assert entry_of(imports=("json", "numpy.linalg")).missing() is None
    assert entry_of(imports=()).missing() is None


def test_asking_what_is_missing_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "slow_runtime.py").write_text("raise AssertionError('it was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert entry_of(imports=("slow_runtime.core",)).missing() is None


def test_the_packages_that_a_missing_step_needs_are_named(monkeypatch):
    from harness.packages import missing_package
    from harness.techniques.registry import TRANSFORMS

    step = TRANSFORMS.get("prune/channel")
    assert missing_package(step.packages, step.extra) is None
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "torch_pruning" else real(name, *rest),
    )
    assert (
        missing_package(step.packages, step.extra)
        == "torch-pruning is not installed: pip install torch-pruning"
    )


def test_a_runtime_of_a_users_own_is_one_class_and_one_function():
    class Doubling(Session):
        def bind(self, inputs):
            return lambda: tuple(2 * array for array in inputs)

    RUNTIMES.names()
    try:

        @runtime("doubling", RuntimeConfig, takes=("onnx",), summary="twice", imports=(), packages=())
        def open_session(_config, _artifact, _target):
            return Doubling()

        session = RUNTIMES.get("doubling").open_session(RuntimeConfig(), None, Target(1))
        np.testing.assert_array_equal(session.run([np.arange(3)])[0], [0, 2, 4])
        assert session.fixed_batch is None
        session.close()
    finally:
        RUNTIMES._items.pop("doubling", None)
