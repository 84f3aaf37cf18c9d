"""The roofline of each Record: what it computes and moves, compared with this machine's peaks.

After Williams, Waterman & Patterson, "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from harness.store.record import Record
from harness.units import say_count

TOLERANCE = 1.1
"""A Record that computes faster than the measured peak times this cannot have done the work.

Peaks are the best of many runs, sizes and libraries. The peaks of float32, int8 and bfloat16 differed by 1 %
between two Runs on one machine, and the fastest of the 115 Records of the committed Runs reached 0.94 of its
peak. The rest allows for clocks that rise later, and for kernels that fit a model's shapes better than square
products."""
FLOAT = "float32"
OR = " or "
"""Separates the dtypes of a runtime that does not say which one it computes compressed weights in."""

NOTHING = 1e-9  # rounding error of a sum of shares

Peaks = Mapping[str, Any]
KEPT = (
    *("threads", "rates", "memory_bandwidth_bytes_per_s", "bandwidth_bytes", "bandwidth_runs"),
    *("notes", "left_out", "disturbed", "measured_at", "fresh"),
)
"""What a Run keeps of an event ``peaks``."""


def peaks_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the measured peaks in a Run's journal, the last ones for each thread budget."""
    found = {event["threads"]: event for event in events if event["event"] == "peaks"}
    return [{name: event.get(name) for name in KEPT} for event in found.values()]


def add_roofline(record: Record, all_peaks: Sequence[Peaks]) -> None:
    """Fill intensity, utilization of the peaks, and what bounds a measured Record; None where unknown.

    The bytes of a sample are its activations and its share of the call's weights, each read once per call. A
    bandwidth utilization above 1 means that caches serve what memory could not.
    """
    moved, flops = bytes_per_sample(record), record.flops_per_sample
    intensity = flops / moved if flops and moved else None
    record.arithmetic_intensity_flops_per_byte = intensity
    peaks = peaks_for(record, all_peaks)
    if peaks is None:
        return
    busy, bandwidth = busy_share(record), float(peaks["memory_bandwidth_bytes_per_s"])
    if moved and record.throughput_samples_per_s is not None:
        record.bandwidth_utilization = moved * record.throughput_samples_per_s / busy / bandwidth
    peak = peak_of(flops_by_type(record), peaks)
    if peak is None:
        return
    record.peak_flop_per_s = peak
    if (plain := peak_of({FLOAT: 1.0}, peaks)) and flops_by_type(record) != {FLOAT: 1.0}:
        record.peak_over_float32 = peak / plain
    if record.achieved_flop_per_s is not None:
        record.compute_utilization = record.achieved_flop_per_s / busy / peak
    if intensity is not None:
        record.bound = "compute" if intensity >= peak / bandwidth else "memory"


def busy_share(record: Record) -> float:
    """Return the share of the time in which the Session was busy; in a server it also waits for queries."""
    return min(record.utilization or 1.0, 1.0)


def faster_than_peak(record: Record, all_peaks: Sequence[Peaks]) -> dict[str, Any]:
    """Return the finding of the audit ``faster-than-peak``: no Record computes faster than the machine can.

    A peak that an earlier Run measured, or that was disturbed, may be much too low (18 times too low was seen
    on two cores with ten other processes). Such a peak fails no Record: the finding then has a `note`.
    """
    finding: dict[str, Any] = {"audit": "faster-than-peak", "state": None, "reasons": []}
    share, peaks = record.compute_utilization, peaks_for(record, all_peaks)
    if share is None or peaks is None or record.achieved_flop_per_s is None:
        return finding
    if share <= TOLERANCE:
        return {**finding, "state": "passed"}
    rate = record.achieved_flop_per_s / busy_share(record)
    excess = (
        f"{rate / 1e9:.3g} GFLOP/s is {share:.3g} times what this machine was measured "
        f"to compute with {say_count(record.threads or 0, 'thread')}"
    )
    if is_stale(peaks):
        return {
            **finding,
            "note": f"{excess}; an earlier Run measured that, when the machine may have been slower",
        }
    shares = flops_by_type(record) or {}
    if was_disturbed(peaks, shares):
        return {**finding, "note": f"{excess}, but that measurement was disturbed: the machine may be faster"}
    kinds = "" if set(shares) == {FLOAT} else f" in {' and '.join(shares)}"
    return {
        **finding,
        "state": "failed",
        "reasons": [f"{excess}{kinds}: the work was not done or was counted incorrectly"],
    }


def was_disturbed(peaks: Peaks, kinds: Collection[str]) -> bool:
    """Return whether a peak of the dtypes `kinds` was disturbed; older Runs record this for all together."""
    if (disturbed := peaks.get("disturbed")) is None:
        return bool(peaks["notes"])
    single = {one for kind in kinds for one in kind.split(OR)}
    return any(name.partition("/")[2] in single for name in disturbed)


def is_stale(peaks: Peaks) -> bool:
    """Return whether an earlier Run measured the peaks; if it is not recorded, the Run measured its own."""
    return peaks.get("fresh") is False


def bytes_per_sample(record: Record) -> float | None:
    """Return the bytes that one sample moves: its activations, and its share of the call's weights."""
    weights, activations = record.weight_bytes, record.activation_bytes_per_sample
    if weights is None or activations is None or not record.batch:
        return None
    return float(weights) / float(record.batch) + float(activations)


def flops_by_type(record: Record) -> dict[str, float] | None:
    """Return the share of the FLOPs in each dtype that is multiplied; None where it is unknown.

    It comes from what the steps report, else from the graph, if nothing is in low precision. The runtime
    computes float32 operators in its own dtype. With ``float32 or int8`` it may use the second for compressed
    weights.
    """
    runtime = record.runtime_compute_dtype or FLOAT
    shares = _shares(record.flops_by_type)
    if shares is None:
        low = record.low_precision_flops_share or record.low_precision_weight_share
        if low or record.float32_flops_share != 1:
            return None
        shares = {FLOAT: 1.0}
    plain, left = runtime.partition(OR)[0], shares.pop(FLOAT, 0.0)
    unsure = min(record.weight_only_flops_share or 0.0, left) if runtime != plain else 0.0
    for kind, share in ((plain, left - unsure), (runtime, unsure)):
        if share > NOTHING:
            shares[kind] = shares.get(kind, 0.0) + share
    return shares


def _shares(text: Any) -> dict[str, float] | None:
    """Return the parsed column; None if it is missing or its shares do not add up to 1."""
    try:
        found = json.loads(text or "null")
        shares = {str(kind): float(share) for kind, share in found.items() if share}
    except (TypeError, ValueError, AttributeError):
        return None
    whole = math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6) and min(shares.values()) > 0
    return shares if whole else None


def peak_of(shares: Mapping[str, float] | None, peaks: Peaks) -> float | None:
    """Return the peak FLOP/s of work with these `shares` of each dtype: 1 / Σ (share / peak of the dtype).

    For ``float32 or int8`` the higher peak counts, so that no Record that used it fails the audit. None where
    a dtype has no peak.
    """
    rates = {rate["dtype"]: rate["flop_per_s"] for rate in peaks["rates"]}
    kinds = {kind: kind.split(OR) for kind in shares or ()}
    if not shares or not {one for each in kinds.values() for one in each} <= set(rates):
        return None
    return float(1.0 / sum(share / max(rates[one] for one in kinds[kind]) for kind, share in shares.items()))


def peaks_for(record: Record, all_peaks: Sequence[Peaks]) -> Peaks | None:
    """Return the peaks for the Record's thread budget; there are none for a GPU yet."""
    if record.device != "cpu":
        return None
    return next((peaks for peaks in all_peaks if peaks["threads"] == record.threads), None)
