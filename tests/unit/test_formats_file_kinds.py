"""A file that is no model is called what it is, by its bytes, and nothing in it is run."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import tiny  # noqa: F401 (it puts tiny_factories on the path)
import tiny_factories
from onnx import TensorProto, helper

from harness.errors import DataError
from harness.formats.file_kinds import check_file, file_kind

torch = pytest.importorskip("torch")


def graph(doc: str = "") -> bytes:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    return bytes(helper.make_model(made, doc_string=doc).SerializeToString())


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def torch_saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


class Runs:
    """Unpickling it ends the test."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


class Evaluates:
    """Unpickling it evaluates a text."""

    def __reduce__(self):
        return (eval, ("1 + 1",))


class Loads:
    """Unpickling it calls a function of torch, by which other pickles are loaded."""

    def __reduce__(self):
        return (torch.load, ("other.pt",))


SAFE = b'\x08\x00\x00\x00\x00\x00\x00\x00{"a": 1}'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 133\n"


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "empty", "an empty file"),
        (b"\0" * 9000, "empty", "zero bytes"),
        (LFS, "pointer", "a Git LFS pointer"),
        (b"/annex/objects/SHA256E-s1--2.onnx\n", "pointer", "a git-annex pointer"),
        (b"\n <!DOCTYPE html>\n<html>", "html", "an HTML page"),
        (b'{"message": "Not Found"}', "text", 'a text file that begins with \'{"message"'),
        ("größer".encode() * 900, "text", "a text file"),
        (graph(), "onnx", "an ONNX model"),
        (graph("long" * 3000)[:9000], "cut", "an ONNX file that is cut off"),
        (gzip.compress(graph()), "archive", "a gzip file"),
        (archive(a=b"1"), "archive", "a zip archive that is no model"),
        (archive(a=b"1" * 500)[:300], "cut", "damaged or cut off"),
        (SAFE, "safetensors", "safetensors weights"),
        (SAFE[:-3], "cut", "a safetensors file that is cut off"),
        (b"\x1c\x00\x00\x00TFL3\x00\xff", "litert", "a LiteRT"),
        (b"\x89HDF\r\n\x1a\n\x00\xff", "hdf5", "an HDF5 file"),
        (bytes(range(255, 100, -1)), "unknown", "unknown kind"),
        (pickle.dumps({"a": [1]}), "pickle", "a Python pickle"),
        (pickle.dumps(Runs()), "pickle with code", "a pickle with objects of "),
        (pickle.dumps(Evaluates()), "pickle with code", "a pickle with objects of builtins.eval"),
        (pickle.dumps([torch.float32, Loads()]), "pickle with code", "objects of torch.serialization.load"),
        (torch_saved({"w": torch.ones(2, dtype=torch.bfloat16), "n": 1}), "state-dict", "a state dict"),
        (torch_saved({"w": torch.nn.Parameter(torch.ones(2).to_sparse())}), "state-dict", "a state dict"),
    ],
    ids=range(23),
)
def test_a_file_is_told_by_its_bytes(tmp_path: Path, content: bytes, name: str, words: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    kind = file_kind(path)
    assert kind.name == name
    assert words in kind.text


@pytest.mark.parametrize("old", [False, True])
def test_a_state_dict_is_told_from_a_whole_module(tmp_path: Path, old: bool) -> None:
    options = {"_use_new_zipfile_serialization": not old}
    module, path = tiny_factories.conv(), tmp_path / "saved.pt"
    path.write_bytes(torch_saved(module.state_dict(), **options))
    assert file_kind(path).name == "state-dict"
    path.write_bytes(torch_saved({"epoch": 3, "weights": OrderedDict(module.state_dict())}, **options))
    assert file_kind(path).name == "state-dict"
    path.write_bytes(torch_saved(module, **options))
    assert file_kind(path).text.startswith("a pickle with objects of tiny_factories.Conv")


def test_archives_of_torch_and_numpy_are_told_apart(tmp_path: Path) -> None:
    module, example = tiny_factories.dense().eval(), (torch.ones(2, 8),)
    path = tmp_path / "saved"
    torch.jit.save(torch.jit.trace(module, example), path)
    assert file_kind(path).name == "torch-script"
    torch.export.save(torch.export.export(module, example), f"{path}.pt2")
    assert file_kind(Path(f"{path}.pt2")).name == "torch-program"
    np.savez(path, a=np.ones(3))
    assert file_kind(Path(f"{path}.npz")).name == "npz"
    np.save(path, np.ones(3))
    assert file_kind(Path(f"{path}.npy")).name == "npy"


def test_a_program_that_holds_a_pickle_with_code_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "saved.pt2"
    torch.export.save(torch.export.export(tiny_factories.dense().eval(), (torch.ones(2, 8),)), path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as target:
        for name in source.namelist():
            swapped = torch_saved(Runs()) if "sample_inputs" in name else source.read(name)
            target.writestr(name, swapped)
    kind = file_kind(tmp_path / "bad.pt2")
    assert kind.name == "pickle with code"
    assert "a torch.export program that holds a pickle with objects of" in kind.text


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "an empty folder"),
        (["notes.txt"], "a folder without config.json"),
        (["saved_model.pb"], "a TensorFlow SavedModel"),
        (["adapter_config.json"], "an adapter of PEFT"),
        (["b.onnx", "a.pt2"], "a folder with a.pt2, b.onnx"),
    ],
)
def test_a_folder_is_told_by_what_is_in_it(tmp_path: Path, files: list[str], words: str) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"1")
    assert words in file_kind(tmp_path).text


def test_a_refusal_says_what_was_wanted_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(LFS)
    with pytest.raises(DataError) as told:
        check_file(tmp_path / "m.onnx", "m.onnx", "an ONNX model", "onnx")
    assert str(told.value) == (
        "m.onnx is a Git LFS pointer, not the file itself; wanted: an ONNX model. Remedy: run git lfs pull"
    )
    (tmp_path / "m.onnx").write_bytes(b"\xfe\xff\x00")  # of no known kind: whoever reads it will tell
    check_file(tmp_path / "m.onnx", "m.onnx", "an ONNX model", "onnx")
