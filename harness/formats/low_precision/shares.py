"""Products and convolutions as they run, and what of them is in low precision: one set of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import BuildError

Arithmetic = Literal["integer", "weight-only", "half", "float"]

FLOAT = "float32"
HALF = ("float16", "bfloat16")
"""Floats of 16 bits, as torch, numpy and devices/gemms name them."""
NAMES_SHOWN = 20
"""Operators left in float that are named; the rest is counted."""


@dataclass(frozen=True)
class Product:
    """One product of matrices or convolution: its operator's type and name, and how it runs.

    `flops` is None where a shape is not known. `computes` is the number type that is multiplied, as
    devices/gemms names it; `stored_low` says that its weights are stored in fewer bits than that.
    """

    type: str
    name: str
    flops: float | None
    computes: str = FLOAT
    stored_low: bool = False

    @property
    def kind(self) -> Arithmetic:
        """How it counts: a low-precision type, float from weights in fewer bits, or float."""
        if self.computes in HALF:
            return "half"
        if self.computes != FLOAT:
            return "integer"
        return "weight-only" if self.stored_low else "float"


def tally(products: Sequence[Product]) -> dict[str, Any]:
    """Count operators and shares of the FLOPs by kind; shares are None where one product's are not known."""
    left = [product for product in products if product.kind == "float"]
    return {
        "integer_operators": types(products, "integer"),
        "weight_only_operators": types(products, "weight-only"),
        "half_operators": types(products, "half"),
        "float_operators": types(products, "float"),
        "float_operator_names": [f"{product.type} {product.name}" for product in left[:NAMES_SHOWN]],
        "low_precision_flops_share": _share(products, "integer", "half"),
        "weight_only_flops_share": _share(products, "weight-only"),
        "flops_by_type": flops_by_type(products),
    }


def types(products: Iterable[Product], kind: Arithmetic) -> dict[str, int]:
    """Count the operator types of one kind."""
    return counted(product.type for product in products if product.kind == kind)


def counted(types: Iterable[str]) -> dict[str, int]:
    """Count each name, in the order of the alphabet."""
    return dict(sorted(Counter(types).items()))


def flops_by_type(products: Sequence[Product]) -> dict[str, float] | None:
    """Return the share of the FLOPs that is multiplied in each number type; None where it is not known."""
    shares: dict[str, float] = {}
    total = _sum(products)
    for product in products if total else ():
        shares[product.computes] = shares.get(product.computes, 0.0) + (product.flops or 0.0) / (total or 1.0)
    return {kind: share for kind, share in sorted(shares.items()) if share} or None


def refuse_unchanged(products: Sequence[Product], whole: str) -> None:
    """Raise BuildError when all is float: a Cell with nothing quantized is a failure, not a row."""
    if all(product.kind == "float" for product in products):
        found = ", ".join(sorted({product.type for product in products}))
        kept = f"only {found} in float" if found else "no dense or convolution operator"
        raise BuildError(f"nothing was quantized: the {whole} has {kept}")


def in_words(shares: dict[str, float] | None) -> str:
    """Name the number types that are multiplied, the largest share first."""
    return " and ".join(sorted(shares, key=lambda kind: -shares[kind])) if shares else ""


def _share(products: Sequence[Product], *kinds: Arithmetic) -> float | None:
    total = _sum(products)
    return sum(p.flops or 0.0 for p in products if p.kind in kinds) / total if total else None


def _sum(products: Sequence[Product]) -> float | None:
    known = [product.flops for product in products]
    return None if None in known else sum(flops or 0.0 for flops in known)
