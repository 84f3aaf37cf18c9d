"""Bytes of the weights in a compiled PyTorch package, by what its own code says of its constants."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path

_CODE = ".wrapper.cpp"
_FIELD = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = (.*);")
_SCALES = re.compile(r"\.original[1-9]\d*$")
"""Parts of a torchao weight after its integers: scales and zero points."""


def weight_bytes(package: Path) -> tuple[int, int]:
    """Bytes of constants with at least two dimensions: those in fewer than 32 bits, and all.

    As counting.weight_bytes counts an ONNX graph: each once, embeddings too, scales and zero points not.
    """
    import torch

    low = total = 0
    for constant in _constants(package):
        shape = [int(side) for side in re.findall(r"\d+", constant["shape"])]
        name = constant.get("original_fqn", "").strip('"')
        if len(shape) < 2 or _SCALES.search(name) or constant.get("from_folded") == "true":
            continue
        kind = getattr(torch, constant["dtype"].removeprefix("cached_torch_dtype_"))
        size = prod(shape) * int(kind.itemsize)
        total += size
        low += size if kind.itemsize < 4 else 0
    return low, total


def _constants(package: Path) -> Iterator[dict[str, str]]:
    """What the code says of each constant: its name, dtype, shape and more, as C++ writes them."""
    with zipfile.ZipFile(package) as packed:
        for code in (name for name in packed.namelist() if name.endswith(_CODE)):
            found: dict[str, dict[str, str]] = {}
            for number, field, value in _FIELD.findall(packed.read(code).decode()):
                found.setdefault(number, {})[field] = value
            yield from found.values()
