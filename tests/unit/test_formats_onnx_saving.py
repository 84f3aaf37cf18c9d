"""Models over protobuf's 2 GiB: weights beside the graph, in one function that every step saves through."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny
from layers import run
from onnx import TensorProto, helper, numpy_helper

from harness.artifacts.artifact import Artifact
from harness.formats.onnx import graph as onnx_graph
from harness.zoo.sources.onnx_file import OnnxSource, _build, _identity

pytest.importorskip("onnxruntime")
W = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)  # 16,384 bytes
STEPS = {
    "quantize/static": {"calibration": {"samples": 16, "method": "percentile"}},
    "quantize/mixed": {"calibration": {"samples": 16}, "max_drop": None, "min_sqnr_db": 10.0},
    "quantize/dynamic": {},
    "quantize/weight-only": {"dtype": "int8"},
    "precision/fp16/onnx": {},
}


def model() -> onnx.ModelProto:
    """x → tanh(x · w) · v, 2 × 16,384 bytes of weights."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="first"),
        helper.make_node("Tanh", ["p"], ["t"], name="tanh"),
        helper.make_node("MatMul", ["t", "v"], ["y"], name="last"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 64]) for name in "xy"]
    weights = [numpy_helper.from_array(W, "w"), numpy_helper.from_array(W.T.copy(), "v")]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def is_the_model(found: onnx.ModelProto) -> bool:
    """Whether nodes and weights are those of `model()`."""
    weights = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
    equal = weights.keys() == {"w", "v"} and (weights["w"] == W).all() and (weights["v"] == W.T).all()
    return bool(equal) and list(found.graph.node) == list(model().graph.node)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("limit", "names"),
    [(2 * W.nbytes, ["model.onnx"]), (2 * W.nbytes - 1, ["model.onnx", "model.onnx.weights"])],
)
def test_weights_over_the_limit_go_into_a_second_file(limit, names, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "MAX_INLINE_BYTES", limit)
    given = model()
    path = tmp_path / onnx_graph.MODEL
    for _ in range(2):  # the second time over the first
        onnx_graph.save_model(given, path)
    assert is_the_model(given)
    assert files(tmp_path) == names
    beside = sum((tmp_path / name).stat().st_size for name in names[1:])
    assert beside == (2 * W.nbytes if len(names) == 2 else 0)
    assert is_the_model(onnx_graph.load_checked(path))


def test_a_small_model_again_leaves_no_weights_of_a_large_one_behind(tmp_path, monkeypatch):
    path = tmp_path / onnx_graph.MODEL
    monkeypatch.setattr(onnx_graph, "MAX_INLINE_BYTES", 0)
    onnx_graph.save_model(model(), path)
    monkeypatch.undo()
    onnx_graph.save_model(model(), path)
    assert files(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_takes_and_makes_models_with_weights_beside_the_graph(step, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "MAX_INLINE_BYTES", 0)
    (tmp_path / "f").mkdir()
    source = Artifact("f", "onnx", onnx_graph.save_model(model(), tmp_path / "f" / onnx_graph.MODEL).parent)
    inputs = tiny.INPUTS["wide"]
    context = tiny.Context(inputs, tiny.training(inputs))
    made, about = tiny.build(step, source, tmp_path / "q", context, **STEPS[step])
    assert about["low_precision_weight_share"] == 1.0
    assert files(made.folder) == files(source.folder) == ["model.onnx", "model.onnx.weights"]
    (x,) = tiny.samples(inputs, 8)
    exact = np.tanh(x @ W) @ W.T
    assert np.abs(run(made, x, "all") - exact).max() < 0.05 * np.abs(exact).max()


def test_the_exporter_saves_a_large_model_with_its_weights_beside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "MAX_INLINE_BYTES", 0)
    inputs = tiny.INPUTS["wide"]
    source = tiny.source("wide", tmp_path / "m")
    made, _ = tiny.build("export-onnx", source, tmp_path / "o", tiny.Context(inputs))
    assert files(made.folder) == ["model.onnx", "model.onnx.weights"]
    (x,) = tiny.samples(inputs, 4)
    np.testing.assert_allclose(run(made, x), tiny.eager(source, (x,))[0], rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ links, which onnx refuses


def linked(folder: Path, kind: str) -> Path:
    """A file whose weights are a symbolic link to a blob elsewhere, to a folder below, or a hard link."""
    at, blobs = folder / "snapshot", folder / "blobs"
    for place in (at / "below", blobs):
        place.mkdir(parents=True)
    onnx.save(model(), str(at / "m.onnx"), save_as_external_data=True, location="m.data", size_threshold=0)
    blob = (at / "below" if kind == "below" else blobs) / "1f0c"
    (at / "m.data").rename(blob)
    if kind == "hard":
        os.link(blob, at / "m.data")
    else:
        (at / "m.data").symlink_to(Path(os.path.relpath(blob, at)))
    return at / "m.onnx"


@pytest.mark.parametrize("kind", ["symbolic", "below", "hard"])
def test_weights_behind_a_link_are_copied_into_the_artifact_and_identify_the_model(kind, tmp_path):
    path = linked(tmp_path, kind)
    (tmp_path / "out").mkdir()
    _build(OnnxSource(onnx=path.name), path.parent, tmp_path / "out")
    assert is_the_model(onnx_graph.load_checked(tmp_path / "out" / onnx_graph.MODEL))
    config = OnnxSource(onnx=path.name)
    before = _identity(config, path.parent)
    blob = (path.parent / "m.data").resolve()
    blob.write_bytes(blob.read_bytes()[:-4] + b"\x00\x00\x00\x40")
    assert _identity(config, path.parent) != before
