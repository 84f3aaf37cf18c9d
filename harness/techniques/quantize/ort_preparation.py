"""What ONNX Runtime asks for before it quantizes: a recent opset, folded batch norms, known shapes."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision.shares import counted
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.rewriting import fold_constants, gemm_to_matmul, unshare_weights
from harness.formats.onnx.structure import initializers, nodes
from harness.formats.onnx.versions import MIN_OPSET
from harness.techniques.blame import Excluding, check_excluded
from harness.techniques.quantize.ort_library import quantizing

if TYPE_CHECKING:
    import onnx

_HALF = {10, 16}  # onnx.TensorProto's numbers of float16 and bfloat16
_ROUNDING = re.compile(
    r"QLinear.*|QGemm|QAttention|QEmbedLayerNormalization|QuantizeLinear|DynamicQuantize.*|.*Integer(ToFloat)?"
)
"""Operators that round activations to integers, or read such integers."""
_STORED = "DequantizeLinear"
_FOLDED = ("Transpose", "Cast", "Reshape", "Squeeze", "Unsqueeze")
"""What exporters leave between a weight and the layer that reads it."""


@dataclass(frozen=True)
class Prepared:
    """A graph ready for a quantizer, the file with it, and notes on how it was prepared, for the report."""

    model: onnx.ModelProto
    path: Path
    notes: dict[str, Any]

    def copy(self) -> onnx.ModelProto:
        """Return a copy of the graph that a quantizer may change."""
        copied = type(self.model)()
        copied.CopyFrom(self.model)
        return copied


@contextlib.contextmanager
def prepared(source: Artifact, config: Excluding | None = None) -> Iterator[Prepared]:
    """Yield the graph of `source` ready for a quantizer, with a file of it in a temporary folder.

    Weights that are stored in another form than their layer reads (transposed, in float16 or integers) are
    computed. `config` is that of a step that rounds activations: weights then get the forms that such
    quantizers take.

    Raises BuildError when the graph has an opset below MIN_OPSET (versions.py). With `config`, it
    raises one when activations are rounded already, weights are in 16 bits, or `exclude` names no node.
    """
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    rounding = counted(node.op_type for node in nodes(model) if _ROUNDING.fullmatch(node.op_type))
    if config and rounding:
        raise BuildError(
            f"the graph is quantized already ({', '.join(f'{n} {name}' for name, n in rounding.items())}): a "
            "second quantization would round rounded values; give the float graph"
        )
    _refuse_old(model)
    folded = fold_constants(model, {*_FOLDED, *(() if rounding else (_STORED,))})
    notes = [f"weights widened by {folded[name]} {name}" for name in ("Cast", _STORED) if folded[name]]
    if config:
        gemm_to_matmul(model, scaled=True)
        unshare_weights(model)
    half = next((tensor.name for tensor in initializers(model) if tensor.data_type in _HALF), None)
    if config and half is not None:
        raise BuildError(
            f"the graph computes in 16 bits (the weight {half!r}), and ONNX Runtime's quantizer takes "
            "float32: give the model in float32"
        )
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name, "given.onnx"), Path(name, onnx_graph.MODEL)
        onnx_graph.save_model(model, given)
        del model
        notes += [] if half is None else ["not optimized: weights are in 16 bits"]
        notes += _preprocess(given, made, optimize=half is None)
        model = onnx_graph.load_checked(made)
        onnx_graph.save_model(model, made)  # with a name for each node
        check_excluded(config.exclude if config else (), [node.name for node in model.graph.node])
        yield Prepared(model, made, {"preparation": notes} if notes else {})


def _refuse_old(model: onnx.ModelProto) -> None:
    """Raise BuildError below MIN_OPSET: the model's source converts graphs, unless their outputs change."""
    found = max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if found < MIN_OPSET:
        raise BuildError(
            f"the graph has opset {found}, and quantizing needs {MIN_OPSET}: onnx could not convert it to an "
            f"equal graph when the model was read; export it again with opset {MIN_OPSET} or later"
        )


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
            with (
                quantizing("without symbolic shapes", remedy=""),
                _unoptimized() as failures,
                contextlib.chdir(given.parent),  # where shapes stay unknown, it leaves files where it is
            ):
                quant_pre_process(given, made, **options)
            return failures
        except BuildError as error:
            notes = [str(error)]
    with quantizing("ONNX Runtime's preprocessing failed", remedy=""), _unoptimized() as failures:
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
