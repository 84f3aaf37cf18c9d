"""What a built Artifact tells of its low precision reaches the Record, and from there the page, in words."""

from __future__ import annotations

import json

import pytest
from runs import record

from harness.analysis.records.columns import LOW_PRECISION, add_artifact
from harness.report.compute import low_precision
from harness.store.record import Record
from harness.store.schema import columns

TOLD = {
    "compute_dtype": "uint8 × int8, one weight scale a channel; weights in 8 bits",
    "low_precision_flops_share": 0.987,
    "weight_only_flops_share": 0.0,
    "low_precision_weight_share": 0.97,
    "float_operators": {"Conv": 2, "Gemm": 1},
    "qdq_pairs": 17,
    "overhead_operators": {"DequantizeLinear": 39, "QuantizeLinear": 17},
    "something": "else",
}


def event(*details):
    steps = [{"step": f"s{i}", "details": each} for i, each in enumerate(details)]
    about = {"key": "k", "format": "onnx", "bytes": 1, "build_s": 1.0, "build_peak_rss_bytes": 0}
    return {"event": "artifact", "statistics": {}, "steps": steps, **about}


def built(*details):
    made = record()
    add_artifact(made, event(*details))
    return made


def test_every_column_is_one_of_the_table():
    assert set(LOW_PRECISION) <= {column.name for column in columns(Record)}


def test_a_quantizing_step_fills_the_columns():
    found = built({"sparsity": 0.5}, TOLD, {})
    assert found.low_precision_flops_share == 0.987
    assert found.qdq_pairs == 17
    assert json.loads(found.float_operators) == {"Conv": 2, "Gemm": 1}
    assert not hasattr(found, "something")


def test_what_steps_warn_of_is_a_warning_of_the_record_once_though_a_run_was_resumed():
    made = record(warnings=["planned"])
    steps = [{"step": "a", "warnings": ["few samples"]}, {"step": "b", "warnings": []}, {"step": "old"}]
    for _ in range(2):
        add_artifact(made, {**event(), "steps": steps})
    assert made.warnings == ["planned", "few samples"]


def test_the_last_step_has_seen_the_result():
    found = built(TOLD, {"low_precision_flops_share": 0.5})
    assert found.low_precision_flops_share == 0.5


@pytest.mark.parametrize("details", [{}, None, {"float_operators": "none", "qdq_pairs": "many"}])
def test_a_step_that_tells_nothing_of_use_leaves_the_columns_out(details):
    assert {getattr(built(details), name) for name in LOW_PRECISION} == {None}


def test_the_page_says_it_in_words():
    assert low_precision(built(TOLD)) == [
        ("compute dtype", "uint8 × int8, one weight scale a channel; weights in 8 bits"),
        ("low-precision FLOPs", "98.7 % of the FLOPs"),
        ("low-precision weights", "97.0 % of the weights' bytes"),
        ("left in float", "2 Conv, 1 Gemm"),
        ("QDQ pairs", "17 activations"),
        ("added operators", "39 DequantizeLinear, 17 QuantizeLinear"),
    ]


def test_weights_alone_and_nothing_left_in_float():
    told = {**TOLD, "weight_only_flops_share": 1.0, "low_precision_flops_share": 0.0, "float_operators": {}}
    found = dict(low_precision(built(told)))
    assert found["weight-only FLOPs"] == "100 % of the FLOPs, computed in float"
    assert found["low-precision FLOPs"] == "0.0 % of the FLOPs"
    assert found["left in float"] == "no matrix product, no convolution"


def test_a_cell_in_full_precision_and_a_damaged_text_say_nothing():
    assert low_precision(record()) == []
    found = low_precision(record(low_precision_weight_share=1.0, overhead_operators="{"))
    assert "added operators" not in dict(found)


def test_the_digest_of_the_content_is_kept():
    made = record()
    add_artifact(made, event({}) | {"content_digest": "abc"})
    assert made.artifact_digest == "abc"
    assert built({}).artifact_digest is None


def test_what_is_known_of_the_evaluation_data_reaches_the_record():
    data = {"notes": ["image: normalized"], "warnings": ["3 of 9 test samples are training samples too"]}
    made = record(warnings=["other"])
    for _ in range(2):  # a resumed Run tells it again
        add_artifact(made, event() | {"data": data})
    assert made.data_details == ["image: normalized"]
    assert made.warnings == ["other", "3 of 9 test samples are training samples too"]
    add_artifact(older := record(), event())  # of a Run before this was recorded
    assert older.data_details == []
