"""What of a Cell really runs in low precision, in words, for the fold below its row."""

from __future__ import annotations

from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.analysis.words.explain import counts


def low_precision(row: Comparison) -> list[tuple[str, str]]:
    """Return shares, operators left in float and what was added; nothing for a Cell in full precision."""
    weights = row.low_precision_weight_share
    if weights is None:
        return []
    pairs = [
        ("compute_dtype", row.compute_dtype or ""),
        ("computed low", _share(row.low_precision_flops_share, "of the FLOPs")),
        ("weights only", _weights_only(row.weight_only_flops_share)),
        ("stored low", _share(weights, "of the weights' bytes")),
        ("left in float", counts(row.float_operators) or "no product or convolution"),
        ("quantize and dequantize", _pairs(row.qdq_pairs)),
        ("operators added", counts(row.overhead_operators)),
    ]
    return [(name, text) for name, text in pairs if text]


def _share(share: Any, of: str) -> str:
    return "" if share is None else f"{say.percent(share)} {of}"


def _weights_only(share: Any) -> str:
    return f"{say.percent(share)} of the FLOPs, computed in float" if share else ""


def _pairs(count: Any) -> str:
    if not count:
        return ""
    return "1 activation" if count == 1 else f"{int(count):,} activations"
