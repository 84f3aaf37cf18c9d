"""The roofline in words: values with units; unknown values are left out."""

import json
from typing import Any

from runs import comparison

from harness.report.compute import roofline
from harness.store.info import RunInfo

PEAKS = [{"threads": 2, "rates": [], "memory_bandwidth_bytes_per_s": 10e9, "notes": []}]
INFO = RunInfo(run_id="r", suite="s", started_at="2026-01-01T00:00:00+00:00", peaks=PEAKS)
ROW: dict[str, Any] = {
    "device": "cpu",
    "threads": 2,
    "flops_per_sample": 4e6,
    "achieved_flop_per_s": 20e9,
    "peak_flop_per_s": 100e9,
    "compute_utilization": 0.2,
    "weight_bytes": 8_000_000,
    "activation_bytes_per_sample": 16_000.0,
    "arithmetic_intensity_flops_per_byte": 4.9,
    "bandwidth_utilization": 0.41,
    "bound": "memory",
}


def words(**changes: Any) -> dict[str, str]:
    return {name: text for name, text in roofline(comparison(**(ROW | changes)), INFO) if text}


def test_a_memory_bound_record() -> None:
    found = words()
    assert found["compute utilization"] == "20 % of 100 GFLOP/s, the peak in float32"
    assert found["arithmetic intensity"] == "4.90 FLOP/byte"
    assert found["bandwidth utilization"] == "41 % of 10.0 GB/s"
    assert found["bound by"] == "memory: its arithmetic intensity is below the ridge point of 10.0 FLOP/byte"
    assert found["weights"] == "8.00 MB per call"


def test_the_peak_of_another_dtype_is_given_relative_to_float32() -> None:
    shares = json.dumps({"int8": 0.97, "float32": 0.03})
    found = words(flops_by_type=shares, peak_over_float32=1.05)
    assert found["compute utilization"] == (
        "20 % of 100 GFLOP/s, the peak in 97.0 % int8 and 3.0 % float32 (1.05 × the float32 peak)"
    )


def test_a_utilization_above_1_is_explained_by_caches() -> None:
    assert (
        words(bandwidth_utilization=2.5)["bandwidth utilization"] == "250 % of 10.0 GB/s, partly from caches"
    )


def test_what_is_not_known_is_not_said() -> None:
    nothing = dict.fromkeys([name for name in ROW if name != "threads"])
    assert words(**nothing) == {}
    assert not any("None" in text for text in words(bound=None, compute_utilization=None).values())
    assert "bound by" not in words(threads=3)
