"""onnxruntime: ONNX graphs on ONNX Runtime's CPU and CUDA execution providers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.runtimes.registry import Call, RuntimeConfig, Session, runtime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_LINES = '''\
import onnxruntime as ort


def load():
    """Open the graph with the settings that were timed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = {threads}
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.{level}
{free}    return ort.InferenceSession(str(FOLDER / "{file}"), options, providers=["{provider}"])


def run(model, inputs):
    """Run one batch; return the outputs as arrays."""
    names = [value.name for value in model.get_inputs()]
    return model.run(None, dict(zip(names, inputs, strict=True)))
'''
_FIXED = (
    '    options.add_free_dimension_override_by_name("{name}", {batch})  # leave it out for other batches\n'
)


class OnnxRuntime(RuntimeConfig):
    """`graph_optimization` is ONNX Runtime's level; `all` includes memory layouts for this machine.

    The batch is fixed at load to the workload's, as compiled runtimes have it: all are compared alike.
    """

    version: ClassVar[int] = 2  # version 1 kept the batch free

    graph_optimization: Literal["disabled", "basic", "extended", "all"] = "all"
    free_dimensions: bool = Field(
        default=False, description="keep the batch free, for a Session that is to take batches of any size"
    )


def _leaves_pairs(config: OnnxRuntime) -> str | None:
    """Return why quantize and dequantize pairs are not fused: the level `extended` adds their fusion."""
    if config.graph_optimization in ("extended", "all"):
        return None
    return (
        f"ONNX Runtime fuses them with graph_optimization: extended or all, not {config.graph_optimization}"
    )


def _snippet(config: OnnxRuntime, _artifact: Artifact, target: Target) -> str:
    """Return lines that open and run the graph as `open_session` does."""
    free = "" if config.free_dimensions else _FIXED.format(name=onnx_graph.BATCH, batch=target.batch)
    return _LINES.format(
        threads=target.threads,
        level=_LEVELS[config.graph_optimization],
        free=free,
        file=onnx_graph.MODEL,
        provider=_PROVIDERS[target.device],
    )


class OrtSession(Session):
    """An `onnxruntime.InferenceSession`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.names = [value.name for value in inner.get_inputs()]
        self.output_names = [value.name for value in inner.get_outputs()]
        axes = onnx_graph.read_axes(inner.get_modelmeta().custom_metadata_map)
        at = [(value.shape, axes.get(value.name, 0)) for value in inner.get_inputs()]
        batches = [shape[axis] for shape, axis in at if axis is not None and len(shape) > axis]
        self.fixed_batch = next((size for size in batches if isinstance(size, int)), None)

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call of the graph on `inputs`."""
        feed = dict(zip(self.names, inputs, strict=True))
        return cast(Call, functools.partial(self.inner.run, None, feed))


@runtime(
    "onnxruntime",
    OnnxRuntime,
    takes=(onnx_graph.FORMAT,),
    title="ONNX Runtime",
    summary="ONNX Runtime with its default execution provider for the device",
    imports=("onnxruntime",),
    packages=("onnxruntime",),
    devices=("cpu", "cuda"),
    any_batch=True,
    leaves_pairs=_leaves_pairs,
    snippet=_snippet,
)
def open_session(config: OnnxRuntime, artifact: Artifact, target: Target) -> Session:
    """Open the graph with the thread budget, for the target's batch.

    Raises HarnessError when the provider is not in this build, or when another dimension than the batch is
    free, which a step may not leave behind (formats/onnx/graph.py, BATCH).
    """
    import onnxruntime as ort

    provider = _PROVIDERS[target.device]
    if provider not in ort.get_available_providers():
        raise HarnessError(f"this onnxruntime has no {provider}: install onnxruntime-gpu for CUDA")
    options = ort.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[config.graph_optimization])
    options.log_severity_level = 3
    if not config.free_dimensions:
        options.add_free_dimension_override_by_name(onnx_graph.BATCH, target.batch)
    inner = ort.InferenceSession(
        str(artifact.file(onnx_graph.MODEL)), sess_options=options, providers=[provider]
    )
    if inner.get_providers()[0] != provider:
        raise HarnessError(f"onnxruntime fell back from {provider} to {inner.get_providers()[0]}")
    free = [v.name for v in inner.get_inputs() if not all(isinstance(size, int) for size in v.shape)]
    if free and not config.free_dimensions:
        raise HarnessError(
            f"the graph's input {free[0]!r} has a free dimension that is not called {onnx_graph.BATCH!r}; "
            "name the batch so and fix the others, or set free_dimensions: true"
        )
    return OrtSession(inner)
