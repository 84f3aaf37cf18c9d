"""The figure of sensitivity: every layer by name, the worst above, those in float marked; else nothing."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from harness.report.cell import CellView
from harness.report.drawing.svg import drawn
from harness.report.figures.registry import figures
from harness.report.figures.sensitivity import MOST, measured

SVG = "{http://www.w3.org/2000/svg}"
LAYERS = [
    {"name": "head $x$", "sqnr_db": 41.25, "in_float": False},
    {"name": "stem", "sqnr_db": 12.5, "in_float": True},
    {"name": "idle", "sqnr_db": None, "in_float": False},  # no noise at all: no finite ratio
]


def view(details) -> CellView:
    steps = [{"step": "export-onnx", "details": {}}, {"step": "quantize/mixed", "details": details}]
    return CellView({"build_details": json.dumps(steps)}, None, ())  # type: ignore[arg-type]


def texts(found: CellView) -> list[str]:
    (figure,) = [item for item in figures("cell") if item.name == "sensitivity"]
    root = ET.fromstring(drawn(figure.draw(found), "sensitivity"))
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_layers_are_named_the_worst_first_and_those_in_float_are_marked():
    found = texts(view({"sensitivity": LAYERS}))
    assert found.index("stem") < found.index("head $x$")
    assert "12.5 float" in found
    assert "41.2" in found
    assert "idle" not in found


def test_a_long_list_shows_the_worst():
    layers = [{"name": f"layer{i}", "sqnr_db": float(i), "in_float": False} for i in range(100)]
    found = texts(view({"sensitivity": layers[::-1]}))
    assert "layer0" in found
    assert sum(text.startswith("layer") for text in found) == MOST


@pytest.mark.parametrize(
    "text", [None, "", "{", "[1]", '[{"details": null}]', '[{"details": {"sensitivity": 3}}]', "[]"]
)
def test_a_record_without_layers_has_no_figure(text):
    row = {"build_details": text}
    assert measured(row) == []
    (figure,) = [item for item in figures("cell") if item.name == "sensitivity"]
    assert figure.draw(CellView(row, None, ())) is None  # type: ignore[arg-type]
