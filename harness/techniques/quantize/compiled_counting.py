"""What of a compiled PyTorch package is in low precision: counted in the kernels that its code calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.aoti_graph import Compiled, CompiledGraph
from harness.techniques.quantize.package_weights import weight_bytes
from harness.techniques.quantize.tally import FLOAT, HALF, Product, in_words, tally


def report(graph: CompiledGraph, package: Path) -> dict[str, Any]:
    """Report the products of `package` by the types of their operands as compiled, and what was added.

    A product of two integers computes in int8; one whose weights are unpacked to float before it, or inside
    it, computes in float. Shares are of the FLOPs of a call and of the stored bytes of all weights with two
    dimensions or more, as in counting.py.
    """
    products = [_product(one) for one in graph.products]
    low, total = weight_bytes(package)
    counted = tally(products)
    unpacked = sorted({one.stored for one in graph.products if one.unpacked and one.stored})
    quantizing = {name: n for name, n in sorted(graph.others.items()) if "quantize" in name}
    passes = sum(one.unpacked for one in graph.products)
    return {
        **counted,
        "low_precision_weight_share": low / total if total else 0.0,
        "qdq_pairs": sum(n for name, n in quantizing.items() if name.startswith("quantize")),
        "overhead_operators": quantizing | ({"unpacking of weights": passes} if passes else {}),
        "arithmetic": _words(products, unpacked),
    }


def _product(one: Compiled) -> Product:
    computes = FLOAT
    if "int" in one.data and "int" in one.weight:
        computes = "int8"
    elif one.data in HALF:
        computes = one.data
    return Product(one.kernel, one.name, one.flops, computes, _stored_low(one))


def _stored_low(one: Compiled) -> bool:
    """Whether the product's weights lie in the package in fewer than 32 bits."""
    return bool(one.stored) and ("int" in str(one.stored) or one.stored in HALF)


def _words(products: list[Product], unpacked: list[str]) -> str:
    by_type: dict[str, set[str]] = {}
    for product in products:
        by_type.setdefault(product.computes, set()).add(product.type)
    kinds = dict.fromkeys(sorted(by_type), 0.0) | (tally(products)["flops_by_type"] or {})
    named = [
        f"{kind} ({', '.join(sorted(by_type[kind]))})" for kind in in_words(kinds).split(" and ") if kind
    ]
    note = f"; {' and '.join(unpacked)} weights are unpacked to float before each product" if unpacked else ""
    return " and ".join(named) + note
