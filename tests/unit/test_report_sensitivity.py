"""The figure of sensitivity: a long list shows the worst, and a Record without layers has no figure."""

from __future__ import annotations

import json

import pytest
from runs import comparison

from harness.report.figures.sensitivity import MAX_LAYERS, layers_figure, measured_layers


def test_a_long_list_shows_the_worst_and_says_what_it_leaves_out():
    layers = [{"name": f"layer{i:03}", "sqnr_db": float(i), "in_float": False} for i in range(100)]
    steps = [{"step": "export-onnx", "details": {}}, {"details": {"sensitivity": layers[::-1]}}]
    found = layers_figure(comparison(technique="mixed", build_details=json.dumps(steps)))
    assert found is not None
    assert "layer000" in found
    assert found.count("layer0") == MAX_LAYERS
    assert f"{100 - MAX_LAYERS} less sensitive layers not shown" in found


@pytest.mark.parametrize(
    "text", [None, "", "{", "[1]", '[{"details": null}]', '[{"details": {"sensitivity": 3}}]', "[]"]
)
def test_a_record_without_layers_has_no_figure(text):
    row = comparison(technique="mixed", build_details=text)
    assert measured_layers(row) == []
    assert layers_figure(row) is None
