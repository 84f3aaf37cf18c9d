"""The format ``onnx``: a `model.onnx`, and what is read from it. onnx is imported inside functions."""

from __future__ import annotations

import contextlib
import mmap
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError, first_line
from harness.formats.onnx.embeddings import table_rows
from harness.formats.onnx.flops import known_sum, node_flops
from harness.formats.onnx.outputs import output_specs
from harness.formats.onnx.structure import graphs, initializers, lift_constants
from harness.formats.onnx.traffic import count_traffic, stored_bytes
from harness.formats.onnx.weights import count_parameters
from harness.formats.outputs import Examined
from harness.formats.registry import FORMATS, Format
from harness.formats.tensors import DTYPES, TensorSpec

if TYPE_CHECKING:
    import onnx

FORMAT = "onnx"
MODEL = "model.onnx"
MAX_INLINE_BYTES = 1_500_000_000
"""Weights up to this size are saved in the file of the graph: protobuf writes at most 2 GiB into one."""
BATCH = "batch"
"""Name of the free first dimension of every input in an Artifact. No other dimension of an input is free."""
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]?)([\x00-\x7f])", re.DOTALL)
"""The key ``location`` of a tensor's external data (onnx.proto, TensorProto.external_data) and the length of
its value as protobuf writes them: a varint of one or two bytes, low bits first."""


def load_checked(path: Path) -> onnx.ModelProto:
    """Load an ONNX file and check it; its Constant nodes become initializers, sizes below zero free.

    A first dimension of zero is free as well. Raises DataError when the file is missing or not a valid ONNX
    model.
    """
    import onnx

    if not path.is_file():
        raise DataError(f"{path}: no such ONNX file")
    try:
        with _without_links(path) as real:
            model = onnx.load(str(real))
            if not model.graph.node:
                raise DataError(f"{path} is not an ONNX model: its graph has no nodes")
            onnx.checker.check_model(str(real))
    except DataError:
        raise
    except Exception as error:  # protobuf, the checker and external data each have their own errors
        raise DataError(f"{path} is not a valid ONNX model: {first_line(error)}") from error
    lift_constants(model)
    _free_sizes(model)
    return model


@contextlib.contextmanager
def _without_links(path: Path) -> Iterator[Path]:
    """Yield the ONNX file, or a copy of it if its weights are in links, which onnx does not follow.

    The caches of hubs and build tools hold such files.
    """
    beside = [file for file in external_files(path) if file.is_file()]
    if not any(file.is_symlink() or file.stat().st_nlink > 1 for file in beside):
        yield path
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        shutil.copyfile(path, folder / MODEL)
        for file in beside:
            copy = (folder / file.relative_to(path.parent)).resolve()
            if copy.is_relative_to(folder):  # onnx refuses what lies elsewhere
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        yield folder / MODEL


def _free_sizes(model: onnx.ModelProto) -> None:
    """Free the dimensions that are no sizes: below zero, and a batch of zero, as ONNX Runtime does."""
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.HasField("dim_value") and (dim.dim_value < 0 or (dim.dim_value == 0 and i == 0)):
                    dim.ClearField("dim_value")


def save_model(model: onnx.ModelProto, path: Path) -> Path:
    """Save `model` and return `path`; weights over MAX_INLINE_BYTES in total go into a second file beside it.

    `model` stays as it is. Every step and conversion saves through this function.
    """
    import onnx

    weights = path.with_name(f"{path.name}.weights")
    weights.unlink(missing_ok=True)  # onnx would append to it
    if sum(map(stored_bytes, initializers(model))) <= MAX_INLINE_BYTES:
        onnx.save(model, str(path))
        return path
    onnx.save(model, str(path), save_as_external_data=True, location=weights.name)
    onnx.load_external_data_for_model(model, str(path.parent))  # saving has taken the weights out of it
    return path


def external_files(path: Path) -> list[Path]:
    """Return the files in which the ONNX file `path` keeps weights, sorted, missing ones too.

    The file is searched without the onnx package, which the manager must not import.
    """
    if not path.stat().st_size:
        return []
    found: set[str] = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for key in _LOCATION.finditer(content):
            low, high = key.groups()
            length = low[0] & 0x7F | high[0] << 7 if low else high[0]
            name = content[key.end() : key.end() + length]
            if name and b"\x00" not in name:
                found.add(name.decode("utf-8", "replace"))
    return sorted(path.parent / name for name in found)


def input_specs(model: onnx.ModelProto) -> list[TensorSpec]:
    """Return the inputs of a graph, their shapes without the first (batch) dimension.

    Integers that select rows of an embedding table are below its number of rows.

    Raises DataError for a dtype that the harness cannot make values of, or a second free dimension.
    """
    import onnx

    specs, rows = [], table_rows(model)
    for value in graph_inputs(model):
        tensor = value.type.tensor_type
        if not tensor.elem_type:
            raise DataError(f"ONNX input {value.name!r} is not a tensor")
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim][1:]
        if tensor.HasField("shape") and not tensor.shape.dim:
            raise DataError(
                f"ONNX input {value.name!r} is a single number; its first dimension must be the batch"
            )
        if dtype not in DTYPES:
            raise DataError(f"ONNX input {value.name!r} has dtype {dtype}; allowed: {', '.join(DTYPES)}")
        if None in dims or not tensor.HasField("shape"):
            raise DataError(
                f"ONNX input {value.name!r} has free dimensions besides the batch; "
                "give its shape under inputs"
            )
        spec = TensorSpec(name=value.name, shape=tuple(d for d in dims if d is not None), dtype=dtype)
        specs.append(spec.model_copy(update={"high": rows[value.name]} if value.name in rows else {}))
    if len(sizes := _fixed_batches(model)) > 1:
        raise DataError(
            f"the first dimensions of the ONNX inputs are fixed to {' and '.join(map(str, sizes))}; "
            "all must be the same batch"
        )
    return specs


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the graph's inputs that are not weights, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """Return the fixed batch of the graph's inputs, or None when it is free."""
    return next(iter(_fixed_batches(model)), None)


def _fixed_batches(model: onnx.ModelProto) -> list[int]:
    """Return the fixed first dimensions of inputs, each once."""
    firsts = [value.type.tensor_type.shape.dim[:1] for value in graph_inputs(model)]
    return list(dict.fromkeys(int(d.dim_value) for dims in firsts for d in dims if d.HasField("dim_value")))


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count the graph's operators by type."""
    return Counter(node.op_type for node in model.graph.node)


def count_statistics(model: onnx.ModelProto) -> dict[str, float]:
    """Count parameters (weights.py), those not zero, FLOPs of one sample, and memory traffic.

    FLOPs (flops.py) and activations (traffic.py) are left out where a shape cannot be inferred or an operator
    contains products that are not counted, `nonzero_parameters` where weights are integers.
    """
    statistics: dict[str, float] = {**count_parameters(model)}
    batch = fixed_batch(model) or 1
    if (flops := known_sum(node_flops(model))) is not None:
        statistics["flops_per_sample"] = flops / batch
    traffic = count_traffic(model)
    if "activation_bytes" in traffic:
        statistics["activation_bytes_per_sample"] = traffic.pop("activation_bytes") / batch
    return statistics | traffic


def _examined(model: onnx.ModelProto) -> Examined:
    return Examined(output_specs(model, fixed_batch(model)))


FORMATS.add(
    FORMAT,
    Format(
        FORMAT,
        "ONNX graph with its weights",
        lambda folder, _: count_statistics(load_checked(folder / MODEL)),
        examine=lambda folder, _: _examined(load_checked(folder / MODEL)),
    ),
)
