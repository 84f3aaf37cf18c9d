"""Weights beside an ONNX file belong to the model, whatever their files are called."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.errors import DataError
from harness.formats.onnx.graph import external_files, load_checked
from harness.zoo.sources.onnx_file import OnnxSource, _build, _identity


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


def test_weights_that_are_missing_a_pointer_or_a_dead_link_are_called_so(tmp_path: Path) -> None:
    path = save(tmp_path, "weights.bin")
    config = OnnxSource(onnx=path.name)
    (tmp_path / "weights.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(
        DataError, match=r"weights\.bin, in which net\.onnx keeps weights, is a Git LFS pointer"
    ):
        _identity(config, tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        DataError, match=r"net\.onnx keeps weights in weights\.bin, which is missing; copy it"
    ):
        load_checked(path)
    path.unlink()
    path.symlink_to("gone.onnx")
    with pytest.raises(DataError, match=r"net\.onnx is a link to gone\.onnx, which does not exist"):
        _identity(config, tmp_path)


@pytest.mark.parametrize("hard", [False, True])
def test_weights_behind_links_are_followed_and_a_change_behind_them_counts(
    tmp_path: Path, hard: bool
) -> None:
    (tmp_path / "blobs").mkdir()
    path, blob = save(tmp_path, "weights.bin"), tmp_path / "blobs" / "1f"
    (tmp_path / "weights.bin").rename(blob)
    link = (tmp_path / "weights.bin").hardlink_to if hard else (tmp_path / "weights.bin").symlink_to
    link(blob)
    config = OnnxSource(onnx=path.name)
    before = _identity(config, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    _build(config, tmp_path, out)
    assert [file.name for file in out.iterdir() if file.is_symlink() or file.stat().st_nlink > 1] == []
    stored = {t.name: numpy_helper.to_array(t) for t in load_checked(out / "model.onnx").graph.initializer}
    np.testing.assert_array_equal(stored["v"], np.ones((64, 64), np.float32))
    with blob.open("r+b") as file:
        file.write(b"\x00\x00\x80\x3f")
    assert _identity(config, tmp_path) != before
