"""What ONNX Runtime asks for before a graph is quantized: a recent opset, folded batch norms, known shapes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, describe, first_line
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import drop_constant_inputs
from harness.techniques.quantize.ort_library import quantizing

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 13
"""The first in which DequantizeLinear has an axis, which scales for each channel need (onnx, Changelog.md)."""
_HALF = {10, 16}  # onnx.TensorProto's numbers of float16 and bfloat16


@contextlib.contextmanager
def prepared(source: Artifact) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the graph of `source` ready for a quantizer, a file in a temporary folder, and what was done.

    Raises BuildError when the graph has an opset below MIN_OPSET that cannot be converted.
    """
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    drop_constant_inputs(model)
    model, notes = _with_opset(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = onnx_graph.save_model(model, folder / "given.onnx")
        large = len(list(folder.iterdir())) > 1
        # In float16, the optimizer would write the Casts of a processor without float16 kernels into the graph.
        half = any(tensor.data_type in _HALF for tensor in model.graph.initializer)
        del model
        notes += _preprocess(given, folder / onnx_graph.MODEL, large, skip_optimization=half)
        yield folder / onnx_graph.MODEL, {"preparation": notes}


def _with_opset(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    import onnx

    (found,) = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")] or [0]
    if not 0 < found < MIN_OPSET:
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


def _preprocess(given: Path, made: Path, large: bool, **options: bool) -> list[str]:
    """Optimize the graph as ONNX Runtime does when it opens it, infer its shapes, and return notes.

    Symbolic shape inference does not know every operator and every size; without it, shapes are inferred by
    onnx alone. Of a `large` graph it would save the weights inline.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def attempt(**more: bool) -> None:
        with quantizing("preprocessing failed"):
            quant_pre_process(
                given, made, save_as_external_data=large, all_tensors_to_one_file=large, **options, **more
            )

    if not large:
        try:
            attempt()
        except BuildError as error:
            reason = describe(error.__cause__ or error)
        else:
            return []
    else:
        reason = "over protobuf's limit"
    attempt(skip_symbolic_shape=True)
    return [f"without symbolic shapes: {reason}"]
