"""Outputs of an ONNX graph as given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError
from harness.formats.outputs import OutputSpec

if TYPE_CHECKING:
    import onnx


def output_specs(model: onnx.ModelProto, batch: int | None) -> tuple[OutputSpec, ...]:
    """Describe the graph's outputs; `batch` is the fixed batch of its inputs, None where it is free.

    Raises DataError for a sequence, a map or strings, which no runtime here returns as an array.
    """
    return tuple(_spec(value, batch) for value in model.graph.output)


def _spec(value: onnx.ValueInfoProto, batch: int | None) -> OutputSpec:
    import onnx

    kind, tensor = value.type.WhichOneof("value"), value.type.tensor_type
    text = tensor.elem_type == onnx.TensorProto.STRING
    if kind not in (None, "tensor_type") or text:
        found = "strings" if text else f"a {str(kind).removesuffix('_type')}"
        raise DataError(
            f"ONNX output {value.name!r} holds {found}; outputs must be tensors of numbers: "
            "remove it from the graph's outputs (skl2onnx: options zipmap=False)"
        )
    known = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type) if tensor.elem_type else np.float32
    dtype = np.dtype(known).name
    if not tensor.HasField("shape"):
        return OutputSpec(value.name, None, dtype)
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    first = bool(dims) and dims[0] == batch
    rest = dims[1:] if first else dims
    shape = None if None in rest else tuple(size for size in rest if size is not None)
    return OutputSpec(value.name, shape, dtype, 0 if first else None)
