"""Helpers of the steps for ONNX Runtime: its quantizers without their hints, and a run of the result."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BuildError, first_line
from harness.formats.onnx import graph as onnx_graph
from harness.formats.registry import COUNTS
from harness.formats.tensors import Array, TensorSpec
from harness.techniques.blame import REMEDY, naming
from harness.techniques.registry import BuildContext

if TYPE_CHECKING:
    import onnx


GRAPH: dict[str, Any] = {
    "takes": (onnx_graph.FORMAT,),
    "yields": onnx_graph.FORMAT,
    "packages": ("onnxruntime", "onnx"),
    "devices": ("cpu",),
    "keeps": COUNTS,
}
"""How the steps that quantize an ONNX graph are registered."""


MASK = 1e9
"""Values from here on stand for infinity: attention's masks add them to scores that must not count, as Keras
(-1e9) and PyTorch (torch.finfo.min) write them."""


@contextlib.contextmanager
def quantizing(failure: str = "onnxruntime's quantizer failed", remedy: str = REMEDY) -> Iterator[None]:
    """Run a quantizer without its hints and progress lines.

    Raises BuildError that begins with `failure` and names the node for whatever the quantizer raises: it has
    no error class of its own.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with naming(failure, _node_name, remedy), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def _node_name(value: Any) -> str | None:
    import onnx

    return f"{value.op_type} {value.name or value.output[0]}" if isinstance(value, onnx.NodeProto) else None


def save_checked(model: onnx.ModelProto, out: Path, context: BuildContext) -> Path:
    """Save `model` into the folder `out`, run it once and return its file. Raises BuildError on failure."""
    path = onnx_graph.save_model(model, out / onnx_graph.MODEL)
    check_runs(path, context.inputs, onnx_graph.fixed_batch(model) or 1)
    return path


def check_runs(path: Path, inputs: tuple[TensorSpec, ...], batch: int = 1) -> None:
    """Run one batch of random samples. Raises BuildError when the graph cannot be opened or run."""
    rng = np.random.default_rng(0)
    run_batches(path, [{spec.name: spec.example(batch, rng) for spec in inputs}])


def run_batches(path: Path, batches: Iterable[dict[str, Array]]) -> list[list[Array]]:
    """Return the outputs of each batch. Raises BuildError when the graph cannot be opened or run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        return [session.run(None, batch) for batch in batches]
    except Exception as error:  # onnxruntime has an exception class for each status
        raise BuildError(
            f"onnxruntime {ort.__version__} cannot run the result: {first_line(error)}"
        ) from error
