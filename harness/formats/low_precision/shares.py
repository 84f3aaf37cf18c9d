"""Products and convolutions as runtimes compute them, and their shares in low precision, for all formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.errors import BuildError
from harness.formats.onnx.flops import known_sum

Kind = Literal["integer", "weight-only", "half", "float"]

FLOAT, DOUBLE = "float32", "float64"
HALF = ("float16", "bfloat16")
"""Floats of 16 bits, as torch, numpy and devices/peaks name them."""
NAMES_SHOWN = 20
"""Operators left in float that are listed by name; all are counted."""


@dataclass(frozen=True)
class Product:
    """One matrix product or convolution: its operator's type and name, and how it runs.

    `flops` is None where a shape is not known. `computes` is the compute dtype, as devices/peaks names it.
    `stored_low`: the weights are stored in fewer bits than that.
    """

    type: str
    name: str
    flops: float | None
    computes: str = FLOAT
    stored_low: bool = False

    @property
    def kind(self) -> Kind:
        """Integers, half precision, float from weights in fewer bits (weight-only), or float."""
        if self.computes in HALF:
            return "half"
        if self.computes not in (FLOAT, DOUBLE):
            return "integer"
        return "weight-only" if self.stored_low else "float"


def tally(products: Sequence[Product], low_bytes: int, weight_bytes: int) -> dict[str, Any]:
    """Count operators and shares of FLOPs by kind; shares are None where some FLOPs are not known.

    `low_bytes` of the `weight_bytes` are stored in fewer bits than float32.
    """
    left = [product for product in products if product.kind == "float"]
    kinds: tuple[Kind, ...] = get_args(Kind)
    operators = {
        f"{kind.replace('-', '_')}_operators": counted(p.type for p in products if p.kind == kind)
        for kind in kinds
    }
    return {
        **operators,
        "float_operator_names": [f"{product.type} {product.name}" for product in left[:NAMES_SHOWN]],
        "low_precision_flops_share": _share(products, "integer", "half"),
        "weight_only_flops_share": _share(products, "weight-only"),
        "flops_by_type": flops_by_type(products),
        "low_precision_weight_share": low_bytes / weight_bytes if weight_bytes else 0.0,
    }


def counted(types: Iterable[str]) -> dict[str, int]:
    """Count each name, sorted by name."""
    return dict(sorted(Counter(types).items()))


def flops_by_type(products: Sequence[Product]) -> dict[str, float] | None:
    """Return the share of the FLOPs in each compute dtype; None where FLOPs are not known."""
    shares: dict[str, float] = {}
    total = known_sum(product.flops for product in products)
    for product in products if total else ():
        shares[product.computes] = shares.get(product.computes, 0.0) + (product.flops or 0.0) / (total or 1.0)
    return {kind: share for kind, share in sorted(shares.items()) if share} or None


def unchanged(whole: str, types: Collection[str]) -> BuildError:
    """Return the error that nothing was quantized: the `whole` has operators of these `types` in float."""
    kept = f"only {', '.join(sorted(set(types)))} in float" if types else "no dense or convolution operator"
    return BuildError(f"nothing was quantized: the {whole} has {kept}")


def in_words(shares: dict[str, float] | None) -> str:
    """Name the compute dtypes, the largest share first."""
    return " and ".join(sorted(shares, key=lambda kind: -shares[kind])) if shares else ""


def _share(products: Sequence[Product], *kinds: Kind) -> float | None:
    total = known_sum(product.flops for product in products)
    return sum(p.flops or 0.0 for p in products if p.kind in kinds) / total if total else None
