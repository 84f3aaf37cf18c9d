"""Low precision from the suite file to the Record: Cells are measured, and say what of them really is low."""

import json

import pytest
from bench import INPUT, ORT, Bench

pytestmark = pytest.mark.slow

MODELS = {"net": {"torch": "run_factories:net", "inputs": INPUT, "dataset": "run_factories:data"}}
RUNTIME = {"runtime": "onnxruntime"}
TECHNIQUES = {
    **ORT,
    "int4 weights": [{"quantize": {"method": "weight-only", "block_size": 16}}, RUNTIME],
    "int8 weights": [{"quantize": {"method": "weight-only", "dtype": "int8"}}, RUNTIME],
    "static": [{"quantize": {"method": "static", "calibration": {"samples": 64}}}, RUNTIME],
    "mixed": [
        {"quantize": {"method": "mixed", "max_drop": 0.2, "calibration": {"samples": 64}}},
        RUNTIME,
    ],
    "trained": [{"quantize": {"method": "qat", "epochs": 2, "calibration": {"samples": 64}}}, RUNTIME],
    "trained weights": [{"quantize": {"method": "qat-weights", "block_size": 16}}, RUNTIME],
    "half": [{"precision": "fp16"}, RUNTIME],
    "few samples": [{"quantize": {"method": "static", "calibration": {"samples": 1000}}}, RUNTIME],
}
WEIGHTS_ONLY = {"int4 weights", "int8 weights", "trained weights"}
LOW = {"static", "mixed", "trained", "few samples"}


def test_low_precision_cells(bench: Bench) -> None:
    suite = bench.suite(MODELS, TECHNIQUES)
    bench.harness("run", str(suite))
    cells = bench.run().cells
    rows = cells[cells["arm"] != "control"].set_index("technique")
    few = "calibration: 96 samples, not 1000: the training data has 96"
    assert [name for name, row in rows.iterrows() if few in row["warnings"]] == ["few samples"]
    measured = rows[rows["status"] == "measured"]
    assert set(measured.index) == set(TECHNIQUES)
    assert (measured["audit"] == "passed").all()
    assert measured["low_precision_weight_share"].isna()["ort"]
    for name in LOW | WEIGHTS_ONLY:
        row = measured.loc[name]
        assert isinstance(row["compute_dtype"], str)
        assert row["low_precision_flops_share"] == (name in LOW)
        assert row["weight_only_flops_share"] == (name in WEIGHTS_ONLY)
        assert row["low_precision_weight_share"] == 1.0
        assert json.loads(row["float_operators"]) == {}
        assert row["quality"] > 0.7
        assert row["artifact_bytes"] != measured.loc["ort"]["artifact_bytes"]
    for name in LOW | WEIGHTS_ONLY | {"half"}:
        row = measured.loc[name]
        assert row["low_precision_flops_share"] + row["weight_only_flops_share"] == 1.0
        assert row["flops_per_sample"] == measured.loc["ort"]["flops_per_sample"]
