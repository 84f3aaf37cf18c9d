"""What ONNX Runtime asks for before it quantizes: a recent opset, folded batch norms, known shapes."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, first_line
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import drop_constant_inputs, initializers
from harness.techniques.quantize.ort_library import quantizing

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 13
"""The first in which DequantizeLinear has an axis, for a scale of each channel (onnx, Changelog.md)."""
_HALF = {10, 16}  # onnx.TensorProto's numbers of float16 and bfloat16


@contextlib.contextmanager
def prepared(source: Artifact) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the graph of `source` ready for a quantizer, a file in a temporary folder, and what was done.

    Raises BuildError when the graph has an opset below MIN_OPSET that cannot be converted.
    """
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    drop_constant_inputs(model)
    model, notes = _with_opset(model)
    half = any(tensor.data_type in _HALF for tensor in initializers(model))
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name, "given.onnx"), Path(name, onnx_graph.MODEL)
        onnx_graph.save_model(model, given)
        del model
        notes += ["not optimized: weights are in 16 bits"] if half else []
        notes += _preprocess(given, made, optimize=not half)
        yield made, {"preparation": notes} if notes else {}


def _with_opset(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    import onnx

    versions = (opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    found = max(versions, default=MIN_OPSET)
    if found >= MIN_OPSET:
        return model, []
    try:
        model = onnx.version_converter.convert_version(model, MIN_OPSET)
        onnx.checker.check_model(model)
    except Exception as error:  # the converter and the checker each have their own errors
        raise BuildError(
            f"the graph has opset {found}, quantizing needs {MIN_OPSET}, and onnx cannot convert it: "
            f"{first_line(error)}"
        ) from error
    return model, [f"converted from opset {found} to {MIN_OPSET}"]


def _preprocess(given: Path, made: Path, *, optimize: bool) -> list[str]:
    """Optimize the graph as ONNX Runtime does when it opens it, infer its shapes, and return notes.

    Not every operator and size is known to symbolic shape inference, and beside it weights cannot be kept
    outside the file of the graph; onnx infers what it can without it. A graph in float16 is not optimized:
    the Casts of a processor without float16 kernels would be written into it.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    external = bool(onnx_graph.external_files(given))
    options = {"skip_optimization": not optimize, "save_as_external_data": external}
    options["all_tensors_to_one_file"] = external
    notes = ["without symbolic shapes: the weights are beside the graph"] if external else []
    if not external:
        try:
            with quantizing("without symbolic shapes"), _unoptimized() as failures:
                quant_pre_process(given, made, **options)
            return failures
        except BuildError as error:
            notes = [str(error)]
    with quantizing("ONNX Runtime's preprocessing failed"), _unoptimized() as failures:
        quant_pre_process(given, made, skip_symbolic_shape=True, **options)
    return notes + failures


@contextlib.contextmanager
def _unoptimized() -> Iterator[list[str]]:
    """Collect why ONNX Runtime's optimizer failed: its preprocessing logs it and goes on without."""
    log = logging.getLogger("onnxruntime.quantization.shape_inference")
    handler, failures = BufferingHandler(capacity=100), list[str]()
    log.addHandler(handler)
    try:
        yield failures
    finally:
        log.removeHandler(handler)
        errors = [record.getMessage() for record in handler.buffer if record.levelno >= logging.ERROR]
        if errors:  # the last one is a traceback, which ends with the reason
            failures.append(f"not optimized: {errors[-1].strip().splitlines()[-1]}")
