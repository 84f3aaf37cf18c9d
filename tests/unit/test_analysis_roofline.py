"""The roofline: shares and bounds against worked examples, and what is faster than the machine can."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import record

from harness.analysis.records.roofline import add_roofline, faster_than_peak, flops_by_type, peaks_of
from harness.store.reading import load
from harness.store.record import Record

PEAKS: list[dict[str, Any]] = [
    {
        "threads": 2,
        "rates": [{"dtype": "float32", "flop_per_s": 100e9}, {"dtype": "int8", "flop_per_s": 400e9}],
        "memory_bandwidth_bytes_per_s": 10e9,
        "notes": [],
    },
    {"threads": 1, "rates": [], "memory_bandwidth_bytes_per_s": 5e9, "notes": []},
]


def dense(**changes: Any) -> Record:
    """Two dense layers of 1000 × 1000 at batch 10: 4 MFLOP a sample, 8 MB of weights a call."""
    row = {
        "device": "cpu",
        "threads": 2,
        "batch": 10,
        "flops_per_sample": 4e6,
        "weight_bytes": 8_000_000,
        "activation_bytes_per_sample": 16_000.0,
        "float32_flops_share": 1.0,
        "throughput_samples_per_s": 5_000.0,
        "achieved_flop_per_s": 20e9,
    }
    return record(**(row | changes))


def judged(made: Record, peaks: list[dict[str, Any]]) -> Record:
    """The Record with its columns of the roofline."""
    add_roofline(made, peaks)
    return made


def test_a_worked_example() -> None:
    found = judged(dense(), PEAKS)
    assert found.arithmetic_intensity_flops_per_byte == pytest.approx(4e6 / 816_000)
    assert found.peak_flop_per_s == 100e9
    assert found.compute_utilization == pytest.approx(0.2)
    assert found.bandwidth_utilization == pytest.approx(816_000 * 5_000 / 10e9)
    assert found.bound == "memory"  # 4.9 FLOP a byte, and the ridge is at 10


def test_a_larger_batch_spreads_the_weights_and_becomes_compute_bound() -> None:
    found = judged(dense(batch=1000), PEAKS)
    assert found.arithmetic_intensity_flops_per_byte == pytest.approx(4e6 / 24_000)
    assert found.bound == "compute"


@pytest.mark.parametrize(
    "changes",
    [
        {"float32_flops_share": None},
        {"float32_flops_share": 0.7},
        {"low_precision_flops_share": 0.99},
        {"low_precision_weight_share": 0.5},
        {"device": "cuda"},
        {"threads": 3},
        {"threads": 1},
    ],
)
def test_without_a_roof_of_its_own_kind_nothing_is_claimed(changes: dict[str, Any]) -> None:
    row = dense(**changes, achieved_flop_per_s=500e9)
    found = judged(row, PEAKS)
    assert found.compute_utilization is None and found.bound is None
    assert faster_than_peak(found, PEAKS)["state"] is None
    assert found.arithmetic_intensity_flops_per_byte == pytest.approx(4e6 / 816_000)


def shares(by_type: dict[str, float], **changes: Any) -> Record:
    return dense(flops_by_type=json.dumps(by_type), low_precision_flops_share=0.5, **changes)


def test_low_precision_is_held_against_the_roof_of_its_own_arithmetic() -> None:
    found = judged(shares({"int8": 1.0}), PEAKS)
    assert found.peak_flop_per_s == 400e9 and found.peak_over_float32 == 4.0
    assert found.compute_utilization == pytest.approx(0.05)
    weights_only = judged(shares({"float32": 1.0}), PEAKS)
    assert weights_only.peak_flop_per_s == 100e9 and weights_only.peak_over_float32 is None


def test_mixed_work_takes_the_time_of_each_share_at_its_own_roof() -> None:
    found = judged(shares({"int8": 0.8, "float32": 0.2}), PEAKS)
    assert found.peak_flop_per_s == pytest.approx(1 / (0.8 / 400e9 + 0.2 / 100e9))


@pytest.mark.parametrize("by_type", [{"float16": 1.0}, {"int8": 0.5, "float8": 0.5}, {"int8": 0.7}])
def test_a_type_without_a_roof_and_shares_that_are_no_whole_claim_nothing(by_type: dict[str, float]) -> None:
    assert judged(shares(by_type), PEAKS).peak_flop_per_s is None


def test_what_the_graph_has_in_float32_counts_as_the_runtimes_type() -> None:
    assert flops_by_type(dense(runtime_compute_dtype="bfloat16")) == {"bfloat16": 1.0}
    mixed = shares({"int8": 0.75, "float32": 0.25}, runtime_compute_dtype="bfloat16")
    assert flops_by_type(mixed) == {"int8": 0.75, "bfloat16": 0.25}


def test_products_that_may_round_their_activations_are_held_against_the_higher_roof() -> None:
    """OpenVINO does not tell which products by compressed weights it rounds activations for."""
    unsure = {"runtime_compute_dtype": "float32 or int8", "weight_only_flops_share": 0.75}
    row = shares({"float32": 0.875, "int8": 0.125}, **unsure)
    assert flops_by_type(row) == {"int8": 0.125, "float32": 0.125, "float32 or int8": 0.75}
    assert judged(row, PEAKS).peak_flop_per_s == pytest.approx(1 / (0.875 / 400e9 + 0.125 / 100e9))
    row = replace(row, achieved_flop_per_s=500e9)
    assert faster_than_peak(judged(row, PEAKS), PEAKS)["state"] == "failed"
    assert flops_by_type(dense(runtime_compute_dtype="bfloat16 or int8")) == {"bfloat16": 1.0}
    one = shares({"float32": 1.0}, **(unsure | {"weight_only_flops_share": 1.0}))
    assert flops_by_type(one) == {"float32 or int8": 1.0}
    slow = [{**PEAKS[0], "rates": PEAKS[0]["rates"][:1]}]
    assert judged(one, slow).peak_flop_per_s is None
    spared = [{**PEAKS[0], "disturbed": {"openvino/int8": "by a build"}, "notes": ["n"]}]
    assert "was disturbed" in faster_than_peak(judged(row, spared), spared)["note"]
    one = replace(one, achieved_flop_per_s=500e9)
    assert "was disturbed" in faster_than_peak(judged(one, spared), spared)["note"]


def test_a_roof_of_an_earlier_run_accuses_nobody() -> None:
    row = shares({"int8": 1.0}, achieved_flop_per_s=900e9)
    stale, fresh = ([{**PEAKS[0], "fresh": fresh}] for fresh in (False, True))
    finding = faster_than_peak(judged(row, stale), stale)
    assert finding["state"] is None and "an earlier Run" in finding["note"]
    finding = faster_than_peak(judged(row, fresh), fresh)
    assert finding["state"] == "failed" and "2 threads in int8" in finding["reasons"][0]


@pytest.mark.parametrize("missing", ["weight_bytes", "activation_bytes_per_sample", "flops_per_sample"])
def test_what_was_not_counted_is_not_made_up(missing: str) -> None:
    found = judged(dense(**{missing: None}), PEAKS)
    assert found.arithmetic_intensity_flops_per_byte is None and found.bound is None


@pytest.mark.parametrize(
    ("share", "notes", "state"),
    [
        (0.5, [], "passed"),
        (1.09, [], "passed"),
        (1.11, [], "failed"),
        (1.09, ["disturbed: x"], "passed"),
        (9.0, ["disturbed: x"], None),
    ],
)
def test_nobody_multiplies_faster_than_the_machine(share: float, notes: list[str], state: str | None) -> None:
    peaks = [{**PEAKS[0], "notes": notes}]
    row = dense(achieved_flop_per_s=share * 100e9)
    finding = faster_than_peak(judged(row, peaks), peaks)
    assert finding["state"] == state
    assert len(finding["reasons"]) == (state == "failed")
    assert ("was disturbed" in finding.get("note", "")) == (state is None)
    if state == "failed":
        assert f"{share:.3g} times what this machine was measured to compute with 2" in finding["reasons"][0]


@pytest.mark.parametrize(
    ("disturbed", "state"),
    [
        ({}, "failed"),
        ({"torch/int8": "x", "torch/float32 with one row": "x", "copy": "x"}, "failed"),
        ({"numpy/float32": "x"}, None),
    ],
)
def test_only_disturbed_products_of_its_own_type_spare_a_dense(
    disturbed: dict[str, str], state: str | None
) -> None:
    peaks = [{**PEAKS[0], "disturbed": disturbed, "notes": ["n"]}]
    row = dense(achieved_flop_per_s=120e9)
    assert faster_than_peak(judged(row, peaks), peaks)["state"] == state


COMMITTED = sorted(Path(__file__).parents[2].glob("results/*/*/*/run.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parents[2].name)
def test_the_committed_runs_are_not_accused_though_nothing_excuses_them(path: Path) -> None:
    run = load(path.parent)
    peaks = [{**one, "notes": [], "disturbed": {}, "fresh": True} for one in run.info.peaks]
    findings = [faster_than_peak(row, peaks) for row in run.records]
    assert "passed" in {one["state"] for one in findings}
    assert not [one["reasons"] for one in findings if one["state"] == "failed"]


def test_the_last_roofs_of_each_budget_count() -> None:
    events = [
        {"event": "session"},
        *({"event": "peaks", **peaks} for peaks in [*PEAKS, PEAKS[0] | {"notes": ["n"]}]),
    ]
    found = peaks_of(events)
    assert [peaks["threads"] for peaks in found] == [2, 1]
    assert found[0]["notes"] == ["n"]
    assert judged(dense(), []).compute_utilization is None
