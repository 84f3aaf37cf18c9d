"""openvino-ir → openvino-blob: compiled for the target's batch, so that a Trial only loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.errors import BuildError
from harness.formats import openvino as openvino_files
from harness.formats.low_precision.openvino import report_compiled
from harness.techniques.registry import BuildContext, StepConfig, conversion


class CompileOpenVino(StepConfig):
    """Nothing to set: threads and precision are settings of the runtime, taken when the blob is loaded."""


@conversion(
    "compile-openvino",
    CompileOpenVino,
    takes=openvino_files.IR_FORMAT,
    yields=openvino_files.BLOB_FORMAT,
    summary="compile for one batch with OpenVINO",
    packages=("openvino",),
    extra="openvino",
    devices=("cpu",),
    specialize_on=("batch", "machine"),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample", *TRAFFIC),
)
def compile_openvino(
    _config: CompileOpenVino, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Fix the batch, run the device's graph transformations and write what they made."""
    import openvino

    model = openvino_files.read_model(source.file(openvino_files.XML))
    batch = context.target.batch
    try:
        model.reshape({port: _with_batch(port.partial_shape, batch) for port in model.inputs})
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        blob = compiled.export_model()
    except RuntimeError as error:
        raise BuildError(f"OpenVINO cannot compile the model: {openvino_files.reason(error)}") from error
    (out / openvino_files.BLOB).write_bytes(blob.getvalue())
    return {"batch": batch, **(report_compiled(model, compiled) if source.lowered else {})}


def _with_batch(shape: Any, batch: int) -> list[Any]:
    """Put the batch in place of the first dimension, free or fixed to it."""
    if not shape[0].is_dynamic and shape[0].get_length() != batch:
        raise BuildError(f"the model has a fixed batch of {shape[0].get_length()}; the workload's is {batch}")
    return [batch, *list(shape)[1:]]
