"""onnx → openvino-ir: read by OpenVINO's ONNX front end; the batch stays free."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.formats import openvino as openvino_files
from harness.formats.onnx import graph as onnx_graph
from harness.techniques.registry import BuildContext, StepConfig, conversion


class ConvertToOpenVino(StepConfig):
    """Nothing to set: types and weights stay as they are."""


@conversion(
    "convert-openvino",
    ConvertToOpenVino,
    takes=onnx_graph.FORMAT,
    yields=openvino_files.IR_FORMAT,
    summary="convert the ONNX graph to OpenVINO IR, weights unchanged",
    packages=("openvino",),
    extra="openvino",
    devices=("cpu",),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample", *TRAFFIC),
)
def convert_openvino(
    _config: ConvertToOpenVino, source: Artifact, out: Path, _context: BuildContext
) -> dict[str, Any]:
    """Convert, and count the operators."""
    model = openvino_files.read_model(source.file(onnx_graph.MODEL))
    openvino_files.save_model(model, out)
    counts = Counter(operator.get_type_name() for operator in model.get_ops())
    return {"operators": dict(sorted(counts.items()))}
