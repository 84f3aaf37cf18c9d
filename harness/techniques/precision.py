"""Precision: floats of 16 bits in PyTorch modules and ONNX graphs; inputs and outputs stay in 32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision import onnx as onnx_counting
from harness.formats.low_precision import torch as module_counting
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.structure import complete, initializers
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.formats.torch.state import named_state, outside_state
from harness.techniques.quantize.ort_library import MASK, quantizing, save_checked
from harness.techniques.quantize.ort_preparation import prepared
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import onnx
    import torch


class Float16(StepConfig):
    """Weights and computation in IEEE half precision; inputs and outputs stay in 32 bits."""

    dtype: Literal["fp16"] = "fp16"


class BFloat16(StepConfig):
    """Weights and computation in bfloat16, float32's range in 16 bits; inputs and outputs stay in 32."""

    dtype: Literal["bf16"] = "bf16"


def cast_module(
    config: Float16 | BFloat16, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Cast the module, and report which products really run in 16 bits.

    Float tensors outside the state dict, which `module.to` leaves in 32 bits, are cast as well.
    """
    import torch

    dtype = {"fp16": "float16", "bf16": "bfloat16"}[config.dtype]
    module = torch_module.load_module(source.folder)
    finite = {name for name, t in _floats(module).items() if t.isfinite().all()}
    module.to(getattr(torch, dtype))
    for tensor in outside_state(module).values():
        if tensor.is_floating_point():
            tensor.data = tensor.to(getattr(torch, dtype))
    if lost := sorted(n for n, t in _floats(module).items() if n in finite and not t.isfinite().all()):
        raise BuildError(f"{', '.join(lost[:3])}: weights beyond the largest number of {dtype}")
    torch_module.save_changed(module, source.folder, out, dtype=dtype)
    return module_counting.report_half(torch_module.load_module(out), context.inputs, dtype)


def _floats(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    tensors = {**named_state(module), **outside_state(module)}
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


_MODULE: dict[str, Any] = {
    "implementation": "module",
    "takes": (torch_module.FORMAT,),
    "yields": torch_module.FORMAT,
    "packages": ("torch",),
    "keeps": COUNTS,
}
_SUMMARY = "weights and computation of a PyTorch module in "
transform("precision", BFloat16, select=("dtype", "bf16"), summary=_SUMMARY + "bfloat16", **_MODULE)(
    cast_module
)
transform("precision", Float16, select=("dtype", "fp16"), summary=_SUMMARY + "float16", **_MODULE)(
    cast_module
)


@transform(
    "precision",
    Float16,
    select=("dtype", "fp16"),
    implementation="onnx",
    takes=(onnx_graph.FORMAT,),
    yields=onnx_graph.FORMAT,
    summary="weights and computation of an ONNX graph in float16 (ONNX Runtime)",
    packages=("onnxruntime", "onnx"),
    specialize_on=("device", "machine"),  # the report depends on the processor's kernels
    keeps=COUNTS,
)
def to_half(_: Float16, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Convert the graph, and report whether it computes in float16 or only stores weights in it."""
    with prepared(source) as (path, preparation):
        before, model = onnx_graph.load_checked(path), onnx_graph.load_checked(path)
        _check_range(model)
        made = save_checked(_converted(model), out, context)
    model = onnx_graph.load_checked(made)
    onnx_counting.report(model, before)  # fails where nothing was converted
    on_cpu = context.target.device == "cpu"
    details = onnx_counting.report(onnx_counting.graph_that_runs(made) if on_cpu else model, before)
    details |= preparation
    if details["half_operators"]:
        return {**details, "compute_dtype": "float16"}
    casts = details["overhead_operators"].get("Cast", 0)
    return {
        **details,
        "compute_dtype": "float32, from weights stored in float16: this processor has no float16 kernels, "
        f"{casts} Casts were added",
    }


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in float16. Raises BuildError when the converter fails."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with quantizing("conversion to float16 failed"):  # shapes are known: the preparation inferred them
        result = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    return complete(result, result)


def _check_range(model: onnx.ModelProto) -> None:
    """Refuse weights beyond float16's largest number, and bring masks within it, in place.

    The converter would clip both silently. Infinities stay. Finite masks become -2**15, half of float16's
    range: with a score added they stay finite, so that the softmax of a row that is masked throughout is no
    NaN, as it is none in float32.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    largest = float(np.finfo(np.float16).max)
    bounds = {name for node in model.graph.node if node.op_type == "Clip" for name in node.input[1:]}
    for tensor in initializers(model):
        if tensor.data_type != TensorProto.FLOAT or tensor.name in bounds:
            continue
        array = numpy_helper.to_array(tensor)
        far = np.isfinite(array) & (np.abs(array) > largest)
        masks = far & (np.abs(array) >= MASK)
        if (far & ~masks).any():
            raise BuildError(f"the weight {tensor.name!r} has values beyond float16's {largest:,.0f}")
        if masks.any():
            halved = np.where(masks, np.copysign(2.0**15, array), array).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(halved, tensor.name))
