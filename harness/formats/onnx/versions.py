"""Old opsets, converted once at the source, so that all techniques see the same graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import first_line
from harness.formats.onnx.inputs import graph_inputs
from harness.formats.onnx.structure import drop_constant_inputs
from harness.formats.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 13
"""Graphs with an older opset are converted to this one: quantizers need its DequantizeLinear with an axis."""
RELATIVE = 1e-4
"""Largest difference of outputs before and after, relative to their largest value."""


def modernized(model: onnx.ModelProto, specs: list[TensorSpec]) -> tuple[onnx.ModelProto, list[str]]:
    """Return the graph with at least MIN_OPSET, and one sentence on it if that needed a conversion.

    The graph stays as it is where onnx cannot convert it, or where outputs for random inputs would be others.
    """
    import onnx

    found = max(
        (one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=MIN_OPSET
    )
    if found >= MIN_OPSET:
        return model, []
    drop_constant_inputs(model)
    try:
        made = onnx.version_converter.convert_version(model, MIN_OPSET)
        onnx.checker.check_model(made)
    except Exception as error:  # the converter, the checker and protobuf each have their own errors
        return model, [f"opset {found} is kept: onnx cannot convert it to {MIN_OPSET}: {first_line(error)}"]
    drop_constant_inputs(made)
    worst = _difference(model, made, specs)
    if worst is None:
        checked = "ONNX Runtime cannot run both here, so outputs were not compared"
    elif worst > RELATIVE:
        return model, [f"opset {found} is kept: converted to {MIN_OPSET}, outputs are off by {worst:.1e}"]
    else:
        checked = "outputs for random inputs are equal"
    return made, [f"converted from opset {found} to {MIN_OPSET}; {checked}"]


def _difference(before: onnx.ModelProto, after: onnx.ModelProto, specs: list[TensorSpec]) -> float | None:
    """Return the largest difference of outputs for random inputs, relative; None where one does not run."""
    rng = np.random.default_rng(0)
    values = {value.name: value.type.tensor_type.shape.dim for value in graph_inputs(before)}
    fixed = [
        values[spec.name][spec.batch_axis].dim_value
        for spec in specs
        if spec.batch_axis is not None and len(values[spec.name]) > spec.batch_axis
    ]
    feed = {spec.name: spec.example(max([1, *fixed]), rng) for spec in specs}
    try:
        ours, theirs = _outputs(before, feed), _outputs(after, feed)
    except Exception:  # onnxruntime is missing, or has no operator of this graph
        return None
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return float("inf")
        known = np.isfinite(one)
        a, b = one[known].astype(np.float64), other[known].astype(np.float64)
        scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
        worst = max(worst, float(np.max(np.abs(a - b), initial=0.0)) / scale)
    return worst


def _outputs(model: onnx.ModelProto, feed: dict[str, Any]) -> list[Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), sess_options=options, providers=providers)
    return [np.asarray(part) for part in session.run(None, feed)]
