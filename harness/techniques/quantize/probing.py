"""Whether ONNX Runtime can run what a step made, asked while building and not in the middle of a Trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.artifacts.tensors import TensorSpec
from harness.errors import BuildError


def check_runs(path: Path, inputs: tuple[TensorSpec, ...], batch: int = 1) -> None:
    """Answer one batch of random items. Raises BuildError when the graph cannot be opened or run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    rng = np.random.default_rng(0)
    try:
        session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        session.run(None, {spec.name: spec.random(batch, rng) for spec in inputs})
    except Exception as error:  # onnxruntime has an exception class for each status
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BuildError(f"onnxruntime {ort.__version__} cannot run the result: {lines[0]}") from error
