"""Weights beside an ONNX file belong to the model, whatever their files are called."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.formats.onnx.graph import external_files
from harness.zoo.sources.onnx_file import OnnxSource, _identity


def model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("MatMul", ["p", "v"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(np.full((64, 64), n, np.float32), name) for n, name in enumerate("wv")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def save(folder: Path, location: str | None, together: bool = True) -> Path:
    path = folder / "net.onnx"
    onnx.save(
        model(),
        str(path),
        save_as_external_data=location is not None,
        all_tensors_to_one_file=together,
        location=location if together else None,
        size_threshold=0,
    )
    return path


@pytest.mark.parametrize("location", ["net.onnx.data", "weights.bin", "Gewichte und mehr", "x" * 200])
def test_a_file_of_weights_is_found_under_any_name(location: str, tmp_path: Path) -> None:
    assert external_files(save(tmp_path, location)) == [tmp_path / location]


def test_weights_in_several_files_or_in_none(tmp_path: Path) -> None:
    assert external_files(save(tmp_path, "", together=False)) == [tmp_path / "v", tmp_path / "w"]
    assert external_files(save(tmp_path, None)) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x0a\x08location\x12", b"\x0a\x08location\x12\xff\xff\xff", b"no model"]
)
def test_what_is_no_model_has_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    assert external_files(path) == []


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    path = save(tmp_path, "weights.bin")
    config = OnnxSource(onnx=path.name)
    before = _identity(config, tmp_path)
    assert _identity(config, tmp_path) == before
    weights = tmp_path / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x40")
    changed = _identity(config, tmp_path)
    assert changed != before
    weights.unlink()  # the build will say what is missing
    assert _identity(config, tmp_path) not in (before, changed)
