"""Why a Cell is fast or slow: each sentence follows from its columns, and none is made up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from runs import comparison

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words.explain import counts, explain
from harness.analysis.words.peaks import machine_in_words, vectors_in_words


def row(**columns: Any) -> Comparison:
    known = {
        "cell_id": "c", "technique": "int8", "threads": 2, "verdict": "slower", "speedup": 0.9,
        "batch": 1, "speedup_low": 0.85, "speedup_high": 0.95, "floor": 0.03, "quality_unit": "pt",
    }  # fmt: skip
    return comparison(**(known | columns))


BASE = comparison(cell_id="b", technique="eager", flops_per_sample=2e6)


def test_a_record_that_tells_nothing_is_not_explained() -> None:
    assert explain(comparison(cell_id="c", technique="x", threads=1), None) == []


def test_speed_is_said_with_its_interval_and_what_identical_code_showed() -> None:
    (text,) = explain(row(), BASE)
    assert text == (
        "It has 0.900 × (0.850–0.950) the speed of eager: slower; identical code may differ by up to 3.0 %."
    )


def test_the_baseline_is_not_compared_with_itself() -> None:
    found = explain(row(cell_id="b", flops_per_sample=2e6), BASE)
    assert found == ["One sample takes 2.00 MFLOP."]


def test_equal_work_and_less_work_are_told_apart() -> None:
    same = explain(row(flops_per_sample=2.01e6), BASE)
    assert any("as in eager: only the way of computing differs" in text for text in same)
    less = explain(row(flops_per_sample=5e5), BASE)
    assert any("25 % of those of eager" in text and "4.00 × as fast" in text for text in less)


def peaks(compute: float, memory: float, bound: str, **columns: Any) -> Comparison:
    known = {
        "achieved_flop_per_s": compute * 1e11,
        "peak_flop_per_s": 1e11,
        "compute_utilization": compute,
        "bandwidth_utilization": memory,
        "arithmetic_intensity_flops_per_byte": 0.5,
        "bound": bound,
    }
    return row(**(known | columns))


def test_a_long_call_far_from_both_roofs_has_slow_kernels() -> None:
    long = explain(peaks(0.003, 0.011, "memory", latency_mean_s=0.127), BASE)[-1]
    assert "its kernels are slow here" in long
    short = explain(peaks(0.003, 0.011, "memory", latency_mean_s=60e-6), BASE)[-1]
    assert "starting operators, not on their work" in short


def test_what_bounds_a_call_follows_from_both_roofs() -> None:
    assert "starting operators" in explain(peaks(0.02, 0.03, "memory"), BASE)[-1]
    assert explain(peaks(0.02, 0.7, "memory"), BASE)[-1].endswith("faster computation does not.")
    assert explain(peaks(0.02, 1.6, "memory"), BASE)[-1].endswith("(caches serve what memory could not).")
    assert "bound by compute" in explain(peaks(0.6, 0.1, "compute"), BASE)[-1]
    assert "60 % of the 100 GFLOP/s" in " ".join(explain(peaks(0.6, 0.1, "compute"), BASE))


def test_under_a_servers_load_the_rate_and_its_share_of_the_roof_are_of_the_time_at_work() -> None:
    """10 GFLOP/s in a quarter of the time are 40, and 40 % of a roof of 100: the sentence must add up."""
    found = " ".join(explain(peaks(0.4, 0.1, "compute", achieved_flop_per_s=1e10, utilization=0.25), BASE))
    assert "While it is busy, it computes 40.0 GFLOP/s, 40 % of the 100 GFLOP/s" in found


MACHINE: list[dict[str, Any]] = [
    {
        "threads": 2,
        "rates": [
            {"dtype": "float32", "flop_per_s": 1e11, "weight_bits": 32, "weight_bytes_per_s": 20e9},
            {"dtype": "int8", "flop_per_s": 1.05e11, "weight_bits": 8, "weight_bytes_per_s": 15e9},
        ],
        "memory_bandwidth_bytes_per_s": 1e10,
        "notes": [],
    }
]


def test_a_slow_int8_row_stands_beside_what_int8_can_gain_here() -> None:
    int8 = {"flops_by_type": json.dumps({"int8": 1.0}), "peak_over_float32": 1.05}
    text = " ".join(explain(peaks(0.6, 0.1, "compute", device="cpu", **int8), BASE, MACHINE))
    assert "peak for int8 with 2 threads" in text
    assert "1.05 × this processor's float32 peak: faster computation can gain little." in text
    assert "reading weights from memory" not in text


def test_weights_from_memory_say_how_many_more_of_them_pass() -> None:
    slow = peaks(0.02, 0.7, "memory", low_precision_weight_share=1.0, device="cpu")
    text = " ".join(explain(slow, BASE, MACHINE))
    assert (
        "one second is enough for 3.00 × as many int8 weights as float32 ones; those layers" in text
    )  # 15 G, 5 G
    for other in (
        {"batch": 8},
        {"bandwidth_utilization": 1.6},
        {"bandwidth_utilization": 0.02},
    ):  # where the limit does not hold
        assert "reading weights from memory" not in " ".join(explain(replace(slow, **other), BASE, MACHINE))


def test_low_precision_says_what_was_reached_left_and_paid() -> None:
    found = explain(
        row(
            low_precision_flops_share=0.75,
            low_precision_weight_share=0.9,
            weight_only_flops_share=0.25,
            compute_dtype="uint8 × int8",
            float_operators=json.dumps({"Conv": 2}),
            qdq_pairs=7,
            overhead_operators=json.dumps({"QuantizeLinear": 7}),
        ),
        BASE,
    )
    text = " ".join(found)
    assert "75 % of the FLOPs are computed in low precision" in text
    assert "90 % of the weights' bytes are stored in it (uint8 × int8)." in text
    assert "25 % of the FLOPs use weights in low precision but are computed in float" in text
    assert "Left in float: 2 Conv." in text
    assert "7 activations are quantized and dequantized" in text
    assert "7 QuantizeLinear" in text


def test_costs_and_doubts_are_said() -> None:
    found = explain(
        row(
            quality_loss=0.4,
            build_s=12.0,
            break_even_samples=30_000,
            verdict="faster",
            audit="failed",
            audit_reasons=["same-outputs: off"],
            warnings=["calls had not become steady"],
        ),
        BASE,
    )
    text = " ".join(found)
    assert "Quality changes by −0.40 points." in text
    assert "Its build takes 12.0 s and is paid back after 30.0 k calls." in text
    assert "It failed an audit, so its speed does not count: same-outputs: off." in text
    assert "Note: calls had not become steady." in text


def test_counts_take_what_is_no_mapping_for_nothing() -> None:
    assert counts('{"Conv": 10, "Gemm": 1}') == "10 Conv, 1 Gemm"
    assert counts(None) == counts("[1]") == counts("{") == ""


def test_what_fewer_bits_gain_is_said_in_one_way_for_any_number_of_types() -> None:
    ratios = {"int4": 5.2, "int8": 3.12, "float16": 1.64}
    said = "5.20 × as many int4, 3.12 × as many int8 and 1.64 × as many float16 weights as float32 ones"
    assert vectors_in_words(ratios) == f"one second is enough for {said}"
    told = " ".join(machine_in_words(MACHINE[0]))
    assert "relative to float32, measured with 2 threads: int8 1.05 ×." in told
    assert told.endswith("3.00 × as many int8 weights as float32 ones.")
