"""Where an ONNX file keeps weights beside itself, found without onnx, which the manager never imports."""

from __future__ import annotations

import mmap
from pathlib import Path

_LOCATION = b"\x0a\x08location\x12"
"""How protobuf writes the key of a tensor's external data (onnx.proto, TensorProto.external_data): field 1 is
``location``, and field 2 begins."""
_LONGEST = 4096  # of a path; more is no path but other bytes that look alike


def external_files(path: Path) -> list[Path]:
    """Return the files that hold weights of the ONNX file `path`, sorted; those that are missing too."""
    if not path.stat().st_size:
        return []
    found: set[str] = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_LOCATION)
        while at >= 0:
            at += len(_LOCATION)
            length, start = _varint(content, at)
            name = content[start : start + length] if 0 < length <= _LONGEST else b""
            if name and b"\x00" not in name:
                found.add(name.decode("utf-8", "replace"))
            at = content.find(_LOCATION, at)
    return sorted(path.parent / name for name in found)


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """Read protobuf's variable-length number at `at`; return it and where it ends."""
    value = shift = 0
    while at < len(content) and shift < 64:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
