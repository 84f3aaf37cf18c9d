"""Conversions: other formats of the same model give the same outputs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tiny

from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.runtimes.registry import RUNTIMES

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


def outputs(artifact, inputs, batch):
    entry = RUNTIMES.get("onnxruntime")
    session = entry.open_session(entry.config(), artifact, Target(batch=batch, threads=1))
    return session.run(inputs)


@pytest.fixture(scope="module", params=["dense", "conv", "two_inputs", "two_outputs", "named"])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    inputs = tiny.INPUTS[request.param]
    module = tiny.source(request.param, folder / "module")
    artifact, report = tiny.build("export-onnx", module, folder / "onnx", tiny.Context(inputs))
    return module, artifact, report, inputs


def test_an_exported_graph_agrees_with_eager_at_any_batch(exported):
    module, artifact, _, specs = exported
    for batch in (1, 3, 7):
        inputs = tiny.samples(specs, batch)
        found, expected = outputs(artifact, inputs, batch), tiny.eager(module, inputs)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_an_exported_graph_is_one_file_with_a_free_batch_and_the_inputs_by_name(exported):
    _, artifact, report, specs = exported
    assert [path.name for path in artifact.folder.iterdir()] == [onnx_graph.MODEL]
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    assert onnx_graph.fixed_batch(model) is None
    assert onnx_graph.input_specs(model) == list(specs)
    assert report["operators"] == dict(onnx_graph.operators(model))
    assert {o.version for o in model.opset_import if o.domain == ""} == {report["opset"]}


def test_a_dicts_outputs_keep_their_names_and_order(tmp_path):
    module = tiny.source("named", tmp_path / "module")
    artifact, _ = tiny.build("export-onnx", module, tmp_path / "onnx", tiny.Context())
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    assert [value.name for value in model.graph.output] == ["scores", "hidden"]


def test_an_exported_graph_tells_nothing_of_the_machine_that_made_it(exported):
    content = exported[1].file(onnx_graph.MODEL).read_bytes()
    for trace in (b"tiny_factories.py", b"/harness/", b"site-packages", b"stack_trace"):
        assert trace not in content


def test_batch_norms_are_folded(tmp_path):
    module = tiny.source("conv", tmp_path / "module")
    _, report = tiny.build("export-onnx", module, tmp_path / "onnx", tiny.Context(tiny.IMAGE))
    assert report["operators"]["Conv"] == 2
    assert "BatchNormalization" not in report["operators"]


@pytest.mark.slow
def test_a_compiled_module_agrees_with_eager_at_its_batch(tmp_path):
    module = tiny.source("conv", tmp_path / "module")
    target = Target(batch=3, threads=1)
    context = tiny.Context(tiny.IMAGE, target=target)
    artifact, report = tiny.build("compile-aoti", module, tmp_path / "aoti", context)
    assert report == {"batch": 3, "threads": 1}
    assert artifact.file(aoti.PACKAGE).is_file()
    entry = RUNTIMES.get("torch-compile")
    session = entry.open_session(entry.config(), artifact, target)
    assert session.fixed_batch == 3
    inputs = tiny.samples(tiny.IMAGE, 3)
    for _ in range(2):
        np.testing.assert_allclose(
            session.run(inputs)[0], tiny.eager(module, inputs)[0], rtol=1e-4, atol=1e-5
        )


def test_torch_in_a_path_with_a_space_is_told_before_the_compiler_stumbles(monkeypatch, tmp_path):
    import torch

    from harness.formats.aoti.package import compiling

    monkeypatch.setattr(torch, "__file__", str(tmp_path / "my tools" / "torch" / "__init__.py"))
    told = r"my tools/torch, and TorchInductor cannot .* space"
    with pytest.raises(BuildError, match=told), compiling(Target(batch=1)):
        raise AssertionError("it went on")


def test_code_is_compiled_for_the_thread_budget_whatever_the_models_code_has_set():
    import torch
    from torch._inductor.utils import parallel_num_threads

    before = torch.get_num_threads()
    try:
        with aoti.compiling(Target(batch=1, threads=3)):
            torch.set_num_threads(1)  # as a call does that is traced
            assert parallel_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_each_compilation_starts_with_an_empty_cache_of_its_own_and_leaves_the_shared_one(
    monkeypatch, tmp_path
):
    """Build times must not depend on what was compiled before."""
    from harness.formats.aoti.package import CACHE, compiling

    (tmp_path / "probe.so").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path))
    used = []
    for _ in range(2):
        with compiling(Target(batch=1)):
            own = Path(os.environ[CACHE])
            assert own.parent == tmp_path
            assert list(own.iterdir()) == []
            (own / "kernel.so").write_text("")
            used.append(own)
    assert used[0] != used[1]
    assert [path.name for path in tmp_path.iterdir()] == ["probe.so"]
    assert os.environ[CACHE] == str(tmp_path)


def test_inductors_cache_avoids_a_path_with_a_space(tmp_path):
    from harness.runner.run.builds import _inductor_cache

    (elsewhere,) = _inductor_cache(tmp_path / "my cache").values()
    assert " " not in elsewhere
    assert not elsewhere.startswith(str(tmp_path / "my cache"))
    assert _inductor_cache(tmp_path / "cache") == {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    assert (tmp_path / "cache").is_dir()
