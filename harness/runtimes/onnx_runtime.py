"""onnxruntime: ONNX graphs on ONNX Runtime's CPU and CUDA execution providers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, cast

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.runtimes.registry import Call, RuntimeConfig, Session, runtime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntime(RuntimeConfig):
    """`graph_optimization` is ONNX Runtime's level; `all` includes memory layouts for this machine."""

    graph_optimization: Literal["disabled", "basic", "extended", "all"] = "all"


def _leaves_pairs(config: OnnxRuntime) -> str | None:
    """Return why quantize and dequantize pairs are not fused: the level `extended` adds their fusion."""
    if config.graph_optimization in ("extended", "all"):
        return None
    return (
        f"ONNX Runtime fuses them with graph_optimization: extended or all, not {config.graph_optimization}"
    )


class OrtSession(Session):
    """An `onnxruntime.InferenceSession`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.names = [value.name for value in inner.get_inputs()]
        firsts = [value.shape[0] for value in inner.get_inputs() if value.shape]
        self.fixed_batch = next((size for size in firsts if isinstance(size, int)), None)

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call of the graph on `inputs`."""
        feed = dict(zip(self.names, inputs, strict=True))
        return cast(Call, functools.partial(self.inner.run, None, feed))


@runtime(
    "onnxruntime",
    OnnxRuntime,
    takes=(onnx_graph.FORMAT,),
    summary="ONNX Runtime with its default execution provider for the device",
    imports=("onnxruntime",),
    packages=("onnxruntime",),
    devices=("cpu", "cuda"),
    leaves_pairs=_leaves_pairs,
)
def open_session(config: OnnxRuntime, artifact: Artifact, target: Target) -> Session:
    """Open the graph with the thread budget. Raises HarnessError when the provider is not in this build."""
    import onnxruntime as ort

    provider = _PROVIDERS[target.device]
    if provider not in ort.get_available_providers():
        raise HarnessError(f"this onnxruntime has no {provider}: install onnxruntime-gpu for CUDA")
    levels = {
        "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    options = ort.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = levels[config.graph_optimization]
    options.log_severity_level = 3
    inner = ort.InferenceSession(
        str(artifact.file(onnx_graph.MODEL)), sess_options=options, providers=[provider]
    )
    if inner.get_providers()[0] != provider:
        raise HarnessError(f"onnxruntime fell back from {provider} to {inner.get_providers()[0]}")
    return OrtSession(inner)
