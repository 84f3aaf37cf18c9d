"""The formats ``openvino-ir`` (graph and weights) and ``openvino-blob`` (compiled for one batch)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BuildError
from harness.formats.registry import FORMATS, Format

if TYPE_CHECKING:
    import openvino

IR_FORMAT = "openvino-ir"
XML = "model.xml"
BLOB_FORMAT = "openvino-blob"
BLOB = "model.blob"


def read_model(path: Path) -> openvino.Model:
    """Read an IR or an ONNX file. Raises BuildError where OpenVINO cannot."""
    import openvino

    try:
        return openvino.Core().read_model(str(path))
    except RuntimeError as error:
        raise BuildError(f"OpenVINO cannot read the model: {reason(error)}") from error


def save_model(model: openvino.Model, folder: Path) -> None:
    """Write the model into `folder` with its weights unchanged; by default OpenVINO casts them to float16."""
    import openvino

    openvino.save_model(model, str(folder / XML), compress_to_fp16=False)


def reason(error: Exception) -> str:
    """Return the message of OpenVINO's error, without the lines that name its own source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return (said or lines or [type(error).__name__])[0]


FORMATS.add(IR_FORMAT, Format(IR_FORMAT, "OpenVINO IR: graph and weights"))
FORMATS.add(BLOB_FORMAT, Format(BLOB_FORMAT, "OpenVINO's compiled model for one batch"))
