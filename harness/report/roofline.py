"""A Record's roofline in words: what it computes and moves, and how near it comes to the machine's roofs."""

from __future__ import annotations

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.roofline import FLOAT, flops_by_type, peaks_for
from harness.analysis.words import numbers as say
from harness.analysis.words.peaks import types_in_words
from harness.store.info import RunInfo


def roofline(row: Comparison, info: RunInfo) -> list[tuple[str, str]]:
    """Return the facts that are known; empty texts are left out by the caller."""
    return [
        ("work", _of(row.flops_per_sample, "FLOP", " an item")),
        ("achieved", _of(row.achieved_flop_per_s, "FLOP/s")),
        ("of this machine’s roof", _of_peak(row)),
        ("weights", _of(row.weight_bytes, "bytes", " a call")),
        ("activations", _of(row.activation_bytes_per_sample, "bytes", " an item")),
        ("intensity", _intensity(row)),
        ("of the copy rate", _of_bandwidth(row, info)),
        ("bound by", _bound(row, info)),
    ]


def _of(value: float | None, kind: str, after: str = "") -> str:
    return "" if value is None else f"{say.quantity(value, kind)}{after}"


def _of_peak(row: Comparison) -> str:
    share = row.compute_utilization
    if share is None:
        return ""
    ratio = row.peak_over_float32
    over = f" ({say.factor(ratio)} × the float32 roof)" if ratio else ""
    kinds = types_in_words(flops_by_type(row) or {FLOAT: 1.0})
    return f"{say.percent(share)} of {say.quantity(row.peak_flop_per_s, 'FLOP/s')}, {kinds}{over}"


def _of_bandwidth(row: Comparison, info: RunInfo) -> str:
    share, peaks = row.bandwidth_utilization, peaks_for(row, info.peaks)
    if share is None:
        return ""
    rate = f" of {say.quantity(peaks['memory_bandwidth_bytes_per_s'], 'bytes')}/s" if peaks else ""
    return f"{say.percent(share)}{rate}{', so in part from caches' if share > 1 else ''}"


def _intensity(row: Comparison) -> str:
    value = row.arithmetic_intensity_flops_per_byte
    return "" if value is None else f"{say.digits(value)} FLOP a byte"


def _bound(row: Comparison, info: RunInfo) -> str:
    """What the ridge point says; a small model may be bound by neither, but by the cost of each operator."""
    peaks = peaks_for(row, info.peaks)
    if not row.bound or peaks is None or row.peak_flop_per_s is None:
        return ""
    ridge = row.peak_flop_per_s / peaks["memory_bandwidth_bytes_per_s"]
    side = "above" if row.bound == "compute" else "below"
    return f"{row.bound}: its intensity is {side} the ridge point of {say.digits(ridge)} FLOP a byte"
