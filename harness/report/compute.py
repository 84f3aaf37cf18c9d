"""What a Cell computes and moves, in words: utilization of the machine's peaks, and work in low precision."""

from __future__ import annotations

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.roofline import FLOAT, flops_by_type, peaks_for
from harness.analysis.words import numbers as say
from harness.analysis.words.explain import counts
from harness.analysis.words.peaks import types_in_words
from harness.report.properties import Properties
from harness.store.info import RunInfo
from harness.units import say_count


def roofline(row: Comparison, info: RunInfo) -> Properties:
    """Return FLOPs, bytes and utilization as name and text; the text is empty where a value is unknown."""
    intensity = row.arithmetic_intensity_flops_per_byte
    return [
        ("work", _of(row.flops_per_sample, "FLOP", " per sample")),
        ("achieved", _of(row.achieved_flop_per_s, "FLOP/s")),
        ("compute utilization", _compute(row)),
        ("weights", _of(row.weight_bytes, "bytes", " per call")),
        ("activations", _of(row.activation_bytes_per_sample, "bytes", " per sample")),
        ("arithmetic intensity", "" if intensity is None else f"{say.digits(intensity)} FLOP/byte"),
        ("bandwidth utilization", _bandwidth(row, info)),
        ("bound by", _bound(row, info)),
    ]


def low_precision(row: Comparison) -> Properties:
    """Return what runs in low precision as name and text; empty for a Cell in full precision."""
    if row.low_precision_weight_share is None:
        return []
    weight_only = row.weight_only_flops_share or None
    pairs = row.qdq_pairs
    found = [
        ("compute dtype", row.compute_dtype or ""),
        ("low-precision FLOPs", share_of(row.low_precision_flops_share, "of the FLOPs")),
        ("weight-only FLOPs", share_of(weight_only, "of the FLOPs, computed in float")),
        ("low-precision weights", share_of(row.low_precision_weight_share, "of the weights' bytes")),
        ("left in float", counts(row.float_operators) or "no matrix product, no convolution"),
        ("QDQ pairs", say_count(pairs, "activation") if pairs else ""),
        ("added operators", counts(row.overhead_operators)),
    ]
    return [(name, text) for name, text in found if text]


def _of(value: float | None, kind: str, after: str = "") -> str:
    return "" if value is None else f"{say.quantity(value, kind)}{after}"


def share_of(share: float | None, of: str) -> str:
    """Return a share with what it is a share of: 26 % of the FLOPs; empty if unknown."""
    return "" if share is None else f"{say.percent(share)} {of}"


def _compute(row: Comparison) -> str:
    if row.compute_utilization is None:
        return ""
    ratio = row.peak_over_float32
    over = f" ({say.factor(ratio)} × the float32 peak)" if ratio else ""
    peak = f"{say.quantity(row.peak_flop_per_s, 'FLOP/s')}, the peak in "
    return share_of(
        row.compute_utilization, f"of {peak}{types_in_words(flops_by_type(row) or {FLOAT: 1.0})}{over}"
    )


def _bandwidth(row: Comparison, info: RunInfo) -> str:
    share, peaks = row.bandwidth_utilization, peaks_for(row, info.peaks)
    if share is None:
        return ""
    rate = f" of {say.quantity(peaks['memory_bandwidth_bytes_per_s'], 'bytes')}/s" if peaks else ""
    return f"{say.percent(share)}{rate}{', partly from caches' if share > 1 else ''}"


def _bound(row: Comparison, info: RunInfo) -> str:
    """Compare the arithmetic intensity with the ridge point.

    A small model may be bound by neither side, but by the overhead of each operator.
    """
    peaks = peaks_for(row, info.peaks)
    if not row.bound or peaks is None or row.peak_flop_per_s is None:
        return ""
    ridge = row.peak_flop_per_s / peaks["memory_bandwidth_bytes_per_s"]
    side = "above" if row.bound == "compute" else "below"
    return f"{row.bound}: its arithmetic intensity is {side} the ridge point of {say.digits(ridge)} FLOP/byte"
