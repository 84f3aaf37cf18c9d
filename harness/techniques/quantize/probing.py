"""What ONNX Runtime makes of a graph: whether it can run it, asked while building, and in which types."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import BuildError
from harness.formats.tensors import Array, TensorSpec

if TYPE_CHECKING:
    import onnx


def check_runs(path: Path, inputs: tuple[TensorSpec, ...], batch: int = 1) -> None:
    """Answer one batch of random items. Raises BuildError when the graph cannot be opened or run."""
    rng = np.random.default_rng(0)
    run_batches(path, [{spec.name: spec.random(batch, rng) for spec in inputs}])


def run_batches(model: Path | bytes, batches: Iterable[dict[str, Array]]) -> list[list[Array]]:
    """Return the outputs of each batch. Raises BuildError when the graph cannot be opened or run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    content = model if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])
        return [session.run(None, batch) for batch in batches]
    except Exception as error:  # onnxruntime has an exception class for each status
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BuildError(f"onnxruntime {ort.__version__} cannot run the result: {lines[0]}") from error


def kernels(path: Path) -> dict[str, str]:
    """Return, by name, as which operator ONNX Runtime's CPU provider runs each node of a QDQ graph.

    A fused product keeps its node's name. Which patterns are fused follows from more than the pattern: of
    signed activations on x86, say, those that several operators read are not.
    """
    return {node.name: node.op_type for node in graph_that_runs(path, "ORT_ENABLE_EXTENDED").graph.node}


def graph_that_runs(path: Path, level: str = "ORT_DISABLE_ALL") -> onnx.ModelProto:
    """Return the graph as ONNX Runtime's CPU provider runs it: Casts around what it has no kernels for.

    With its optimisations off, operators still have the names and types that can be counted.
    """
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "seen.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(seen)
        options.log_severity_level = 4
        ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        return onnx.load(str(seen))
