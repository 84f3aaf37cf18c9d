"""A Record's roofline in words: what it computes and moves, and how near it comes to the machine's roofs."""

from __future__ import annotations

from harness.analysis import wording as say
from harness.analysis.frames import Row
from harness.analysis.roofline import FLOAT, flops_by_type, roofs_for
from harness.analysis.roofwords import types_in_words
from harness.store.info import RunInfo


def roofline(row: Row, info: RunInfo) -> list[tuple[str, str]]:
    """Return the facts that are known; empty texts are left out by the caller."""
    return [
        ("work", _of(row, "flops_per_item", "FLOP", " an item")),
        ("achieved", _of(row, "achieved_flop_per_s", "FLOP/s")),
        ("of this machine’s roof", _of_roof(row)),
        ("weights", _of(row, "weight_bytes", "bytes", " a call")),
        ("activations", _of(row, "activation_bytes_per_item", "bytes", " an item")),
        ("intensity", _intensity(row)),
        ("of the copy rate", _of_copy(row, info)),
        ("bound by", _bound(row, info)),
    ]


def _of(row: Row, name: str, kind: str, after: str = "") -> str:
    value = row.get(name)
    return "" if value is None else f"{say.quantity(value, kind)}{after}"


def _of_roof(row: Row) -> str:
    share = row.get("roof_fraction")
    if share is None:
        return ""
    ratio = row.get("roof_over_float32")
    over = f" ({say.factor(ratio)} × the float32 roof)" if ratio else ""
    kinds = types_in_words(flops_by_type(row) or {FLOAT: 1.0})
    return f"{say.percent(share)} of {say.quantity(row['roof_flop_per_s'], 'FLOP/s')}, {kinds}{over}"


def _of_copy(row: Row, info: RunInfo) -> str:
    share, roofs = row.get("copy_fraction"), roofs_for(row, info.roofs)
    if share is None:
        return ""
    rate = f" of {say.quantity(roofs['copy_bytes_per_s'], 'bytes')}/s" if roofs else ""
    return f"{say.percent(share)}{rate}{', so in part from caches' if share > 1 else ''}"


def _intensity(row: Row) -> str:
    value = row.get("arithmetic_intensity_flops_per_byte")
    return "" if value is None else f"{say.digits(value)} FLOP a byte"


def _bound(row: Row, info: RunInfo) -> str:
    """What the ridge point says; a small model may be bound by neither, but by the cost of each operator."""
    roofs = roofs_for(row, info.roofs)
    if not row.get("bound") or roofs is None:
        return ""
    ridge = row["roof_flop_per_s"] / roofs["copy_bytes_per_s"]
    side = "above" if row["bound"] == "compute" else "below"
    return f"{row['bound']}: its intensity is {side} the ridge point of {say.digits(ridge)} FLOP a byte"
