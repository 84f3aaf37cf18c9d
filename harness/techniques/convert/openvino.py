"""onnx → openvino-ir → openvino-blob: read by OpenVINO's ONNX front end, then compiled for one batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.errors import BuildError
from harness.formats import openvino as openvino_files
from harness.formats.low_precision.openvino import report_compiled
from harness.formats.low_precision.shares import counted
from harness.formats.onnx import graph as onnx_graph
from harness.formats.registry import COUNTS
from harness.formats.tensors import TensorSpec
from harness.techniques.registry import BuildContext, StepConfig, conversion

_ABOUT: dict[str, Any] = {
    "packages": ("openvino",),
    "extra": "openvino",
    "devices": ("cpu",),
    "keeps": (*COUNTS, *TRAFFIC),
}


@conversion(
    "convert-openvino",
    takes=onnx_graph.FORMAT,
    yields=openvino_files.IR_FORMAT,
    summary="convert the ONNX graph to OpenVINO IR, weights unchanged",
    **_ABOUT,
)
def convert_openvino(
    _config: StepConfig, source: Artifact, out: Path, _context: BuildContext
) -> dict[str, Any]:
    """Convert, and count the operators; the batch stays free."""
    model = openvino_files.read_model(source.file(onnx_graph.MODEL))
    openvino_files.save_model(model, out)
    return {"operators": counted(operator.get_type_name() for operator in model.get_ops())}


@conversion(
    "compile-openvino",
    takes=openvino_files.IR_FORMAT,
    yields=openvino_files.BLOB_FORMAT,
    summary="compile for one batch with OpenVINO",
    specialize_on=("batch", "machine"),
    **_ABOUT,
)
def compile_openvino(
    _config: StepConfig, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Fix the batch, run the device's graph transformations and write the compiled model.

    Threads and precision are settings of the runtime, applied when the blob is loaded.
    """
    import openvino

    model = openvino_files.read_model(source.file(openvino_files.XML))
    batch = context.target.batch
    try:
        model.reshape({port: _with_batch(port, context.inputs, batch) for port in model.inputs})
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        blob = compiled.export_model()
    except RuntimeError as error:
        raise BuildError(f"OpenVINO cannot compile the model: {openvino_files.reason(error)}") from error
    (out / openvino_files.BLOB).write_bytes(blob.getvalue())
    return {"batch": batch, **(report_compiled(model, compiled) if source.lowered else {})}


def _with_batch(port: Any, inputs: Sequence[TensorSpec], batch: int) -> list[Any]:
    """Return an input's shape with `batch` as its batch, which is free or has that value already."""
    axis = next((spec.batch_axis for spec in inputs if spec.name in port.get_names()), 0)
    sizes = list(port.partial_shape)
    if axis is None:
        return sizes
    if not sizes[axis].is_dynamic and sizes[axis].get_length() != batch:
        raise BuildError(
            f"the model has a fixed batch of {sizes[axis].get_length()}; the workload's is {batch}"
        )
    return [*sizes[:axis], batch, *sizes[axis + 1 :]]
