"""What a file or folder really is, told by its first bytes; nothing in it is run or unpickled.

It lets an error say "a Git LFS pointer" or "a pickled module" where a library would say "invalid model". It
imports no ML library, so that the manager can use it.
"""

from __future__ import annotations

import codecs
import pickletools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from harness.errors import DataError

HEAD_BYTES = 4096
PICKLE_BYTES = 4_000_000
"""What is read of a pickle: the names of its classes stand near its start."""


@dataclass(frozen=True)
class Kind:
    """What a file is: a short name for code, a noun phrase for messages, and what the user can do instead."""

    name: str
    text: str
    remedy: str = ""


ONNX, PROGRAM, TORCHSCRIPT = "onnx", "torch-program", "torch-script"
SAFETENSORS, STATE_DICT, NPZ, NPY = "safetensors", "state-dict", "npz", "npy"
POINTER, UNKNOWN, RUNS_CODE = "pointer", "unknown", "pickle with code"
_AGAIN = "copy or download it again"
_FACTORY = "write a function that returns the module, and name it: torch: package.module:function"
_UNPACK = "unpack it and name the model in it"

_MAGIC = (
    (0, b"version https://git-lfs", POINTER, "a Git LFS pointer, not the file itself", "run git lfs pull"),
    (0, b"/annex/objects", POINTER, "a git-annex pointer, not the file itself", "run git annex get"),
    (0, b"\x93NUMPY", NPY, "a NumPy array (.npy)"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5", "an HDF5 file, as Keras saves it", "export the model to ONNX"),
    (0, b"GGUF", "gguf", "a GGUF file of llama.cpp", "name the checkpoint that it was made from"),
    (4, b"TFL3", "litert", "a LiteRT (TensorFlow Lite) model", "name the model that it was made from"),
    (4, b"ORTM", "ort", "a model in ONNX Runtime's own format", "name the .onnx file it was made from"),
    (0, b"\x1f\x8b", "archive", "a gzip file", _UNPACK),
    (0, b"BZh", "archive", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\x00", "archive", "an xz file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "archive", "a 7-Zip archive", _UNPACK),
    (257, b"ustar", "archive", "a tar archive", _UNPACK),
    (0, b"\x7fELF", "library", "a program or shared library", "name a model file"),
)
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Field numbers of ModelProto (onnx.proto) and their protobuf wire types; 1 is ir_version, 7 the graph."""
_PLAIN = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|(builtins|__builtin__)\.(set|frozenset|bytearray|complex|slice|range)"
    r"|torch\.(\w+Storage|Size|device|dtype|[a-z]+\d+\w*|bool|Tensor)|torch\._utils\._rebuild_\w+"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter|torch\.storage\.\w+Storage"
    r"|torch\.serialization\._get_layout|numpy\.(ndarray|dtype|dtypes\.\w+)"
    r"|numpy\.(_core|core)\.multiarray\.(_reconstruct|scalar)|numpy\.(_core|core)\.numeric\._frombuffer"
)
"""What a pickle of plain tensors, arrays and numbers names; any other name is taken for code."""


def file_kind(path: Path) -> Kind:
    """Return what `path` is, a file or a folder. Raises OSError where it cannot be read."""
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b"\x00"):
        text = f"{len(head)} or more zero bytes" if head else "an empty file"
        return Kind("empty", text, _AGAIN)
    for at, magic, *kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return Kind(*kind)
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        with path.open("rb") as file:
            return _pickle(file)
    if onnx := _onnx(path):
        return onnx
    if head[8:9] == b"{":
        return _safetensors(path, head)
    return _text(head) or Kind(UNKNOWN, "a file of an unknown kind", "name a model file")


def check_file(path: Path, name: str, wanted: str, *kinds: str) -> None:
    """Raise DataError unless the file `path`, which the user calls `name`, is of `kinds` or unknown."""
    if not path.exists():
        lost = path.is_symlink() and f"a link to {path.readlink()}, which does not exist"
        raise DataError(f"{name} is {lost}" if lost else f"{name}: no such file beside the suite")
    try:
        kind = file_kind(path)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    if kind.name not in (*kinds, UNKNOWN):
        raise DataError(
            f"{name} is {kind.text}; wanted: {wanted}{kind.remedy and f'. Remedy: {kind.remedy}'}"
        )


def _folder(path: Path) -> Kind:
    names = {entry.name for entry in path.iterdir()}
    if "saved_model.pb" in names:
        return Kind("saved-model", "a TensorFlow SavedModel", "export the model to ONNX")
    if "model_index.json" in names:
        return Kind("diffusers", "a pipeline of diffusers", "name the folder of one of its models")
    if "adapter_config.json" in names:
        return Kind("adapter", "an adapter of PEFT, not a whole model", "merge it into its base model")
    if "hubconf.py" in names:
        return Kind(
            "torch-hub", "a torch.hub repository", f"name a function in it: {path.name}/hubconf.py:NAME"
        )
    if models := sorted(name for name in names if name.endswith((".onnx", ".pt2"))):
        return Kind("folder", f"a folder with {', '.join(models[:3])}", "name one of these files")
    return Kind("folder", "a folder without config.json" if names else "an empty folder", "name a model file")


def _zip(path: Path) -> Kind:
    """Tell archives apart by the names in them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = {name.partition("/")[2] for name in names}
            if "constants.pkl" in inner:
                return Kind(TORCHSCRIPT, "a TorchScript model")
            if {"serialized_exported_program.json"} & {*names, *inner} or any(
                name.startswith("models/") and name.endswith(".json") for name in inner
            ):
                return _program(archive)
            if any(name.startswith("data/aotinductor/") for name in inner):
                return Kind("aoti", "a package compiled by AOTInductor", _FACTORY)
            if data := next((name for name in names if name.endswith("/data.pkl")), None):
                with archive.open(data) as file:
                    return _pickle(file)
    except (zipfile.BadZipFile, EOFError) as error:
        return Kind("cut", f"an archive that is damaged or cut off ({error})", _AGAIN)
    if "model.weights.h5" in names:
        return Kind("keras", "a Keras model", "export the model to ONNX")
    if names and all(name.endswith(".npy") for name in names):
        return Kind(NPZ, "an archive of NumPy arrays (.npz)")
    return Kind("archive", "a zip archive that is no model", _UNPACK)


def _program(archive: zipfile.ZipFile) -> Kind:
    """Look into the pickles that `torch.export.load` would run: of tensors only, they are harmless."""
    for name in archive.namelist():
        with archive.open(name) as file:
            head = file.read(4)
            file.seek(0)
            if head == b"PK\x03\x04":
                with zipfile.ZipFile(file) as inner:
                    kinds = [
                        _pickle(inner.open(one)) for one in inner.namelist() if one.endswith("/data.pkl")
                    ]
            else:
                kinds = [_pickle(file)] if head[:1] == b"\x80" else []
        if harmful := next((kind for kind in kinds if kind.name == RUNS_CODE), None):
            return Kind(RUNS_CODE, f"a torch.export program that holds {harmful.text}", "export it again")
    return Kind(PROGRAM, "a torch.export program")


def _pickle(file: IO[bytes]) -> Kind:
    """Tell a state dict from other pickles by the classes that it names."""
    classes = list(dict.fromkeys(_classes(file.read(PICKLE_BYTES))))
    own = [name for name in map(".".join, classes) if not _PLAIN.fullmatch(name)]
    if own:
        return Kind(
            RUNS_CODE, f"a pickle with objects of {own[0]}, which would run code when loaded", _FACTORY
        )
    if any(module.startswith("torch") for module, _ in classes):
        return Kind(
            STATE_DICT,
            "a state dict, that is weights without the model's code",
            f"{_FACTORY}, and weights: FILE",
        )
    return Kind("pickle", "a Python pickle", _FACTORY)


def _classes(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of what a pickle names; torch's old files are several pickles in a row."""
    start, end, strings = 0, 0, ["", ""]
    try:
        while content[start : start + 1] == b"\x80":
            for opcode, value, at in pickletools.genops(content[start:]):
                if opcode.name == "GLOBAL":
                    module, _, name = str(value).partition(" ")
                    yield module, name
                elif opcode.name == "STACK_GLOBAL":
                    yield strings[-2], strings[-1]
                elif "UNICODE" in opcode.name:
                    strings.append(str(value))
                elif opcode.name == "STOP":
                    end = at or 0
            start += end + 1
    except Exception:  # cut off, or no pickle: the names so far count
        return


def _safetensors(path: Path, head: bytes) -> Kind:
    """Compare the length that the header states with the file's."""
    stated = int.from_bytes(head[:8], "little")
    if 8 + stated > path.stat().st_size:
        return Kind("cut", "a safetensors file that is cut off", _AGAIN)
    return Kind(SAFETENSORS, "safetensors weights without the model's code", f"{_FACTORY}, and weights: FILE")


def _onnx(path: Path) -> Kind | None:
    """Walk the outermost fields of a protobuf; None if they are not those of an ONNX model."""
    size, seen = path.stat().st_size, set()
    with path.open("rb") as file:
        while file.tell() < size:
            tag = _varint(file)
            if _ONNX_FIELDS.get(tag >> 3) != tag & 7:
                return None
            seen.add(tag >> 3)
            value = _varint(file)
            if tag & 7 == 2 and file.seek(value, 1) > size:
                found = 1 in seen
                return Kind("cut", "an ONNX file that is cut off", _AGAIN) if found else None
    return Kind(ONNX, "an ONNX model") if 7 in seen else None


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while (byte := file.read(1)) and shift < 64:
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    return value


def _text(head: bytes) -> Kind | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return Kind("html", "an HTML page, not the file itself", "download the file that the page shows")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    return (
        None
        if b"\x00" in head
        else Kind("text", f"a text file that begins with {_quoted(head)}", "name a model file")
    )


def _quoted(head: bytes) -> str:
    line = head.decode(errors="replace").strip().splitlines()[:1]
    return repr(line[0][:40]) if line else "a blank line"
