"""float16 for ONNX graphs, inputs and outputs kept in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.techniques.precision.settings import Float16
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx


@transform(
    "precision",
    Float16,
    select=("dtype", "fp16"),
    implementation="onnx",
    takes=(onnx_graph.FORMAT,),
    yields=onnx_graph.FORMAT,
    summary="weights and arithmetic of an ONNX graph in float16 (ONNX Runtime)",
    packages=("onnxruntime", "onnx"),
    specialize_on=("device", "machine"),  # what is reported follows the processor's kernels
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
)
def to_half(_: Float16, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Convert the graph, and report whether the arithmetic is really in float16 or the storage alone."""
    import onnx

    from harness.formats.low_precision.onnx import report
    from harness.techniques.quantize.probing import check_runs, graph_that_runs

    before = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    _check_range(before)
    made = out / onnx_graph.MODEL
    onnx.save(_converted(before), str(made))
    model = onnx_graph.load_checked(made)
    report(model, before)  # fails where nothing was converted
    check_runs(made, context.inputs, onnx_graph.fixed_batch(model) or 1)
    details = report(graph_that_runs(made) if context.target.device == "cpu" else model, before)
    computed = "float16" if details["half_operators"] else "float32, from weights stored in float16"
    casts = details["overhead_operators"].get("Cast", 0)
    why = (
        "" if details["half_operators"] else f": no float16 kernels for this processor, {casts} Casts around"
    )
    return {**details, "compute_dtype": computed + why}


def _converted(before: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float16. Raises BuildError when the converter fails."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.ModelProto()
    model.CopyFrom(before)
    try:
        ordered = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
        ordered.topological_sort()
    except Exception as error:  # the converter has no errors of its own
        raise BuildError(f"conversion to float16 failed: {type(error).__name__}: {error}") from error
    result: onnx.ModelProto = ordered.model
    return result


def _check_range(model: onnx.ModelProto) -> None:
    """Refuse weights beyond float16's largest number, which the converter would clip in silence."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    largest = float(np.finfo(np.float16).max)
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
            continue
        array = numpy_helper.to_array(tensor)
        if array.size and float(np.abs(array).max()) > largest:
            raise BuildError(f"the weight {tensor.name!r} has values beyond float16's {largest:,.0f}")
