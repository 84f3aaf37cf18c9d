"""The inputs of an ONNX graph: shapes, dtypes, where the batch is, and sizes that the file leaves free."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError
from harness.formats.onnx.embeddings import bounded
from harness.formats.tensors import DTYPES, TensorSpec

if TYPE_CHECKING:
    import onnx

AXES = "batch_axes"
"""Key of the graph's metadata that holds the batch axes of its inputs as JSON, where one is not 0."""
IMAGE_SIZE, SEQUENCE_SIZE = 224, 128
"""What a free height and width, and a free length of a sequence, get where the suite gives no size."""
_BATCH = re.compile(r"(?i)^(batch.*|bs)$")
_SEQUENCE = re.compile(r"(?i)^(max_?)?seq(uence)?([_ ]?len(gth)?)?$")
_CHANNELS = (1, 3)
Dim = int | str | None
"""A size, or the name of a free one, or None for a free one without a name."""


@dataclass(frozen=True)
class GraphInput:
    """One input as the file has it; `dims` is None where the rank is not known."""

    name: str
    dtype: str
    dims: tuple[Dim, ...] | None


@dataclass
class Resolved:
    """All inputs with their sizes, in the graph's order, and what was filled in, one sentence each."""

    specs: list[TensorSpec] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    missing: dict[str, list[Dim]] = field(default_factory=dict)


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the graph's inputs that are not weights, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def read_inputs(model: onnx.ModelProto) -> list[GraphInput]:
    """Return the inputs as the file has them. Raises DataError for one that is no tensor of numbers."""
    import onnx

    found = []
    for value in graph_inputs(model):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type" or not value.type.tensor_type.elem_type:
            named = (kind or "unknown").removesuffix("_type").replace("_", " ")
            raise DataError(
                f"ONNX input {value.name!r} is not a tensor ({named}): export the model with tensors"
            )
        tensor = value.type.tensor_type
        if tensor.elem_type == onnx.TensorProto.STRING:
            raise DataError(
                f"ONNX input {value.name!r} is text (string): export without the step that reads text"
            )
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        if dtype not in DTYPES:
            raise DataError(f"ONNX input {value.name!r} has dtype {dtype}; allowed: {', '.join(DTYPES)}")
        dims = tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim
        )
        found.append(GraphInput(value.name, dtype, dims if tensor.HasField("shape") else None))
    return found


def resolve_inputs(
    model: onnx.ModelProto, given: Sequence[TensorSpec] = (), sizes: Mapping[str, int] | None = None
) -> Resolved:
    """Return the graph's inputs: as `given`, else as the file has them, with `sizes` by a dimension's name.

    Raises DataError, with the line to write, where a size is missing, and where `given` or `sizes` do not fit
    the graph.
    """
    inputs, sizes = read_inputs(model), dict(sizes or {})
    stated = {spec.name: spec for spec in given}
    if strangers := sorted(set(stated) - {one.name for one in inputs}):
        known = ", ".join(sorted(one.name for one in inputs))
        raise DataError(f"inputs name {', '.join(strangers)}; the ONNX graph has {known}")
    free = {dim for one in inputs for dim in one.dims or () if isinstance(dim, str)}
    if others := sorted(set(sizes) - free):
        known = ", ".join(sorted(free)) or "none with a name"
        raise DataError(f"dims name {', '.join(others)}; free dimensions of the ONNX graph: {known}")
    if named := [name for name in sizes if _BATCH.match(name)]:
        raise DataError(f"dims name {', '.join(named)}: the batch is set by the workload")
    batched = {one.name for one in inputs if _has_named_batch(one) and one.name not in stated}
    resolved = Resolved()
    for one in inputs:
        if (spec := stated.get(one.name)) is not None:
            resolved.specs.append(_fitted(spec, one))
        else:
            _resolve(one, sizes, elsewhere=bool(batched - {one.name}), into=resolved)
    if resolved.missing:
        raise DataError(_advice(resolved, {one.name: one for one in inputs}))
    resolved.specs = bounded(model, resolved.specs)
    batches = fixed_batches(inputs, {spec.name: spec.batch_axis for spec in resolved.specs})
    if len(batches) > 1:
        raise DataError(
            f"the first dimensions of the ONNX inputs are fixed to {' and '.join(map(str, batches))}; all "
            "must be the same batch, or have batch_axis: null under inputs"
        )
    return resolved


def _has_named_batch(one: GraphInput) -> bool:
    return any(isinstance(dim, str) and _BATCH.match(dim) for dim in one.dims or ())


def _fitted(spec: TensorSpec, one: GraphInput) -> TensorSpec:
    """Return what the suite gives for an input, with the graph's dtype unless it names one."""
    if "dtype" not in spec.model_fields_set:
        spec = spec.model_copy(update={"dtype": one.dtype})
    if spec.dtype != one.dtype:
        raise DataError(f"input {one.name!r} has dtype {spec.dtype}; the ONNX graph has {one.dtype}")
    if one.dims is None:
        return spec
    dims, axis = list(one.dims), spec.batch_axis
    if axis is not None and axis < len(dims):
        del dims[axis]
    if (axis is not None and axis >= len(one.dims)) or not _fits(spec.shape, dims):
        beside = "" if axis is None else " beside the batch"
        shapes = f"{in_words(spec.shape)}; the ONNX graph has {in_words(dims)}"
        raise DataError(f"input {one.name!r} has shape {shapes}{beside}")
    return spec


def _fits(given: Sequence[int], dims: Sequence[Dim]) -> bool:
    """Whether a shape has a graph's rank and its fixed dimensions."""
    return len(given) == len(dims) and all(
        not isinstance(dim, int) or dim == size for size, dim in zip(given, dims, strict=True)
    )


def in_words(dims: Sequence[Dim]) -> str:
    """Return ``[3, ?, width]``."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _resolve(one: GraphInput, sizes: Mapping[str, int], *, elsewhere: bool, into: Resolved) -> None:
    """Add an input that the suite does not give. `elsewhere`: another input has a dimension named batch."""
    if not one.dims:
        into.missing[one.name] = []
        return
    axis = _batch_axis(one.dims, sizes, elsewhere=elsewhere)
    rest = [dim for place, dim in enumerate(one.dims) if place != axis]
    shape: list[Dim] = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in rest]
    filled = _filled(shape)
    if any(not isinstance(size, int) for size in filled):
        into.missing[one.name] = [dim for dim in filled if not isinstance(dim, int)]
        return
    if filled != shape:
        into.notices.append(
            f"input {one.name!r} is {in_words(shape)} beside the batch in the file; {in_words(filled)} was "
            f"filled in. Another size: inputs: {{{one.name}: {in_words(filled)}}}"
        )
    if axis != 0:
        place = (
            "no batch: it is the same for every call" if axis is None else f"its batch in dimension {axis}"
        )
        into.notices.append(f"input {one.name!r} has {place} (shape in the file: {in_words(one.dims)})")
    known = tuple(size for size in filled if isinstance(size, int))
    into.specs.append(TensorSpec(name=one.name, shape=known, dtype=one.dtype, batch_axis=axis))


def _batch_axis(dims: Sequence[Dim], sizes: Mapping[str, int], *, elsewhere: bool) -> int | None:
    """Return the dimension named batch, else the first one.

    None where the first has a size and another input has the batch by name.
    """
    named = next((i for i, dim in enumerate(dims) if isinstance(dim, str) and _BATCH.match(dim)), None)
    if named is not None:
        return named
    fixed = isinstance(dims[0], int) or dims[0] in sizes
    return None if fixed and elsewhere else 0


def _filled(shape: list[Dim]) -> list[Dim]:
    """Fill in the height and width of an image, and the length of a sequence; others stay free."""
    filled = list(shape)
    for channels, places in ((0, (1, 3)), (-1, (0, 2))):
        free = not any(isinstance(dim, int) for dim in shape[slice(*places)])
        if len(shape) == 3 and shape[channels] in _CHANNELS and free:
            filled[slice(*places)] = [IMAGE_SIZE] * 2
            return filled
    return [SEQUENCE_SIZE if isinstance(dim, str) and _SEQUENCE.match(dim) else dim for dim in filled]


def _advice(resolved: Resolved, inputs: Mapping[str, GraphInput]) -> str:
    """Say which sizes are missing, and the lines that give them."""
    names = [dim for missing in resolved.missing.values() for dim in missing]
    told = ", ".join(
        f"{name!r} {'of unknown rank' if (dims := inputs[name].dims) is None else in_words(dims)}"
        for name in resolved.missing
    )
    if names and all(names) and all(resolved.missing.values()):
        wanted = ", ".join(f"{name}: {SEQUENCE_SIZE}" for name in dict.fromkeys(names))
        what = f"free dimensions besides the batch in ONNX input {told}"
        return f"{what}; add, with your sizes, dims: {{{wanted}}}"
    lines = ", ".join(f"{name}: {_example(inputs[name])}" for name in resolved.missing)
    what = "a single number or free dimensions besides the batch"
    return f"{what} in ONNX input {told}; add, with your sizes and values, inputs: {{{lines}}}"


def _example(one: GraphInput) -> str:
    if one.dims == ():
        return f"{{shape: [], dtype: {one.dtype}, batch_axis: null, value: 1}}"
    rest = [3, IMAGE_SIZE, IMAGE_SIZE] if one.dims is None else one.dims[1:]
    return in_words([dim if isinstance(dim, int) else SEQUENCE_SIZE for dim in rest])


def write_axes(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> None:
    """Note the inputs' batch axes in the graph's metadata, where one is not 0."""
    kept = [one for one in model.metadata_props if one.key != AXES]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if any(spec.batch_axis != 0 for spec in specs):
        axes = {spec.name: spec.batch_axis for spec in specs}
        model.metadata_props.add(key=AXES, value=json.dumps(axes))


def read_axes(metadata: Mapping[str, str]) -> dict[str, int | None]:
    """Return the batch axes that `write_axes` noted; an input that is not in it has axis 0."""
    axes: dict[str, int | None] = json.loads(metadata.get(AXES, "{}"))
    return axes


def batch_axes(model: onnx.ModelProto) -> dict[str, int | None]:
    """Return the batch axis of each input of a graph."""
    noted = read_axes({one.key: one.value for one in model.metadata_props})
    return {value.name: noted.get(value.name, 0) for value in graph_inputs(model)}


def fixed_batches(inputs: Sequence[GraphInput], axes: Mapping[str, int | None]) -> list[int]:
    """Return the fixed batches of inputs, each once."""
    at: list[Any] = []
    for one in inputs:
        axis = axes.get(one.name, 0)
        if axis is not None and one.dims is not None and axis < len(one.dims):
            at.append(one.dims[axis])
    return list(dict.fromkeys(dim for dim in at if isinstance(dim, int)))
