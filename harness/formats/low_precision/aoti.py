"""Low precision in a compiled PyTorch package, counted in the kernels that its code calls."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from harness.errors import BuildError
from harness.formats.aoti.graph import Compiled, CompiledGraph
from harness.formats.low_precision.shares import FLOAT, HALF, Product, in_words, tally

_CODE = ".wrapper.cpp"
_FIELD = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = (.*);")
_SCALES = re.compile(r"\.original[1-9]\d*$")
"""Parts of a torchao weight after its integers: scales and zero points."""


def weight_bytes(package: Path) -> tuple[int, int]:
    """Return the bytes of constants with at least two dimensions: those in fewer than 32 bits, and all.

    Each is counted once. As in ONNX graphs (onnx.py), embeddings count, scales and zero points do not.
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
    """Yield the name, dtype, shape and more of each constant, as the C++ code writes them."""
    with zipfile.ZipFile(package) as packed:
        for code in (name for name in packed.namelist() if name.endswith(_CODE)):
            found: dict[str, dict[str, str]] = {}
            for number, field, value in _FIELD.findall(packed.read(code).decode()):
                found.setdefault(number, {})[field] = value
            yield from found.values()


def report(graph: CompiledGraph, package: Path, *, integer: bool = False) -> dict[str, Any]:
    """Report the products of `package` by the dtypes of their operands as compiled, and added operators.

    A product of two integers computes in int8; one whose weights are unpacked to float before it, or inside
    it, computes in float. Shares are of the FLOPs of a call and of the stored bytes of all weights with two
    dimensions or more. With `integer`, raises BuildError when nothing computes in integers.
    """
    products = [_product(one) for one in graph.products]
    counted = tally(products, *weight_bytes(package))
    if integer and not counted["integer_operators"]:
        raise BuildError("nothing computes in integers: the compiler left every operator in float")
    unpacked = sorted({one.stored for one in graph.products if one.unpacked and one.stored})
    quantizing = {name: n for name, n in sorted(graph.others.items()) if "quantize" in name}
    passes = sum(one.unpacked for one in graph.products)
    return {
        **counted,
        "qdq_pairs": sum(n for name, n in quantizing.items() if name.startswith("quantize")),
        "overhead_operators": quantizing | ({"unpacking of weights": passes} if passes else {}),
        "compute_dtype": _words(products, counted["flops_by_type"], unpacked),
    }


def _product(one: Compiled) -> Product:
    computes = FLOAT
    if "int" in one.data and "int" in one.weight:
        computes = "int8"
    elif one.data in HALF:
        computes = one.data
    return Product(one.kernel, one.name, one.flops, computes, _stored_low(one))


def _stored_low(one: Compiled) -> bool:
    """Whether the package stores the product's weights in fewer than 32 bits."""
    return bool(one.stored) and ("int" in str(one.stored) or one.stored in HALF)


def _words(products: list[Product], shares: dict[str, float] | None, unpacked: list[str]) -> str:
    by_type: dict[str, set[str]] = {}
    for product in products:
        by_type.setdefault(product.computes, set()).add(product.type)
    kinds = dict.fromkeys(sorted(by_type), 0.0) | (shares or {})
    named = [
        f"{kind} ({', '.join(sorted(by_type[kind]))})" for kind in in_words(kinds).split(" and ") if kind
    ]
    note = f"; {' and '.join(unpacked)} weights are unpacked to float before each product" if unpacked else ""
    return " and ".join(named) + note
