"""Recorded keys are told as words with units, what is empty is not told, and a page shows both together."""

from __future__ import annotations

import json
import re

import pytest
from pages import whole
from runs import GROUPS, comparison, make_run, vary

from harness.report import details
from harness.report.details import build_steps, steps
from harness.report.properties import key_in_words, properties, value_in_words


@pytest.mark.parametrize(
    ("key", "value", "name", "text"),
    [
        ("build_s", 3.2, "build time", "3.20 s"),
        ("max_time_s", 0.02, "max time", "20.0 ms"),
        ("seconds", 0.8, "time", "800 ms"),
        ("build_peak_rss_bytes", 760_000_000, "build peak resident memory", "760 MB"),
        ("memory_bandwidth_bytes_per_s", 33e9, "memory bandwidth", "33.0 GB/s"),
        ("memory_gib", 32, "memory", "32 GiB"),
        ("flops_left_share", 0.267, "FLOPs left", "27 %"),
        ("min_sqnr_db", 28.0, "min SQNR", "28 dB"),
        ("calibration_samples", 16_000, "calibration samples", "16,000"),
        ("learning_rate", 1e-05, "learning rate", "1e-05"),
        ("sparsity", 0.5, "sparsity", "0.5"),
        ("reduced_range", False, "reduced range", "no"),
        ("isa", ["avx", "fma"], "instruction sets", "avx, fma"),
        ("somebody_elses_s", float("inf"), "somebody elses time", "infinite"),
    ],
)
def test_a_key_is_words_and_its_ending_the_unit(key, value, name, text):
    assert (key_in_words(key), value_in_words(key, value)) == (name, text)


@pytest.mark.parametrize("value", [None, "", [], {}, {"names": []}, [None, ""]])
def test_what_is_empty_is_not_told(value):
    assert properties({"float_operator_names": value, "left": 0}) == [("left", "0")]


def test_settings_inside_settings_are_words_and_names_inside_reports_are_not():
    assert properties({"finetune": {"learning_rate": 0.004, "max_time_s": 2}}) == [
        ("finetune", "learning rate 0.004, max time 2.00 s")
    ]
    assert properties({"zero_share": {"fc_out_s": 0.8, "conv_1": 0.5}}, named=True) == [
        ("zero", "fc_out_s 80 %, conv_1 50 %")
    ]
    assert properties({"channels_left": {f"layer_{i}": 8 for i in range(40)}}, named=True)[0][1].endswith(
        "layer_23 8 and 16 more"
    )


DETAILS = {
    "float_operator_names": [],
    "flops_by_type": {"int8": 0.97, "float32": 0.03},
    "low_precision_flops_share": 0.97,
    "new_cache_bytes": 2_000_000,
    "sensitivity": [{"name": "conv"}],
}
BUILD = json.dumps([{"step": "quantize/static", "build_s": 3.2, "version": 4, "details": DETAILS}, "odd"])


def test_a_build_step_tells_what_it_reports_without_knowing_the_technique():
    (step,) = build_steps(comparison(build_details=BUILD))
    assert step.title == "quantize/static"
    assert dict(step.properties) == {
        "build time": "3.20 s",
        "FLOPs by type": "int8 97.0 %, float32 3.0 %",
        "low precision FLOPs": "97.0 %",
        "new cache": "2.00 MB",
    }
    assert steps(comparison(pipeline='[{"runtime": "onnxruntime"}]'))[0].properties == []
    assert build_steps(comparison(build_details="damaged")) == []


def test_a_cells_page_has_units_beside_its_numbers_and_no_raw_keys(tmp_path):
    techniques = vary("int8-static", columns={"build_details": BUILD, "float_operators": "{}"})
    pages = whole(tmp_path / "out", [make_run(tmp_path / "run", GROUPS[:1], techniques)])
    found = next(one for name, one in pages.items() if "cells/" in name and "int8-static — " in one.text)
    text = found.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "quantize/static: build time 3.20 s · " in text
    for raw in ("[]", "{}", "float_operator_names", "build_s 3"):
        assert raw not in text, raw
    for label, unit in (("Paired latency", "[nµm]s"), ("Size", "kB"), ("mean throughput", "k samples/s")):
        assert re.search(rf"{label} ?[\d.,]+ {unit}", text), label


@pytest.mark.parametrize(
    ("about", "text"),
    [
        ({"evaluation_samples": 10_000}, "10,000"),  # of a Run before these columns
        (
            {"evaluation_samples": 10_000, "evaluation_set_samples": 10_000, "evaluation_batch": 64},
            "10,000, at batch 64",
        ),
        (
            {"evaluation_samples": 2_000, "evaluation_set_samples": 10_000, "evaluation_batch": 1},
            "2,000 of 10,000, at batch 1",
        ),
    ],
)
def test_the_details_say_how_many_samples_were_evaluated_and_at_which_batch(about, text):
    row = comparison(**{"evaluation_set_samples": None, "evaluation_batch": None} | about)
    (said,) = [value for name, value in details._quality(row) if name == "samples"]
    assert said == text
