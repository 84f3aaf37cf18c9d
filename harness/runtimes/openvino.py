"""openvino: OpenVINO's CPU plugin; the Session loads a compiled model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats import openvino as openvino_files
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.measure.blocks import Block, no_garbage_collection
from harness.measure.clock import Clock, elapsed_ns
from harness.runtimes.registry import Call, Outputs, RuntimeConfig, Session, runtime


class OpenVino(RuntimeConfig):
    """What OpenVINO would choose itself is fixed, so that Cells differ only in the suite's settings."""

    precision: Literal["f32", "bf16", "f16"] = Field(
        default="f32", description="compute dtype of operators that are not quantized"
    )
    dynamic_quantization_group: int = Field(
        default=0,
        ge=0,
        description="activations that share an int8 scale with compressed weights; 0: they stay float",
    )
    streams: int = Field(
        default=1,
        ge=1,
        description="requests that are computed at the same time, each with an equal share of the threads; "
        "more than 1 only in the scenario offline",
    )


class OpenVinoSession(Session):
    """An `openvino.CompiledModel` with one inference request."""

    def __init__(self, compiled: Any, target: Target) -> None:
        self.compiled = compiled
        self.request = compiled.create_infer_request()
        self.fixed_batch = target.batch

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call of the model on `inputs`, which are read in place."""
        import openvino

        if len(inputs) != len(self.compiled.inputs):
            raise ValueError(f"the model takes {len(self.compiled.inputs)} inputs, not {len(inputs)}")
        arrays = [np.require(array, requirements=("C", "W")) for array in inputs]
        tensors = dict(enumerate(openvino.Tensor(array, shared_memory=True) for array in arrays))
        self.bound(tensors)
        place, infer = self.request.set_input_tensor, self.request.infer

        def call() -> Outputs:
            for i, tensor in tensors.items():
                place(i, tensor)
            return cast(Outputs, infer().to_tuple())

        return call

    def bound(self, tensors: dict[int, Any]) -> None:
        """Take note of inputs that were bound; a Session that makes one call at a time need not."""


class StreamsSession(OpenVinoSession):
    """A compiled model with several streams, and an inference request for each (openvino.AsyncInferQueue).

    `serve` keeps all streams busy. A single call uses one of them.
    """

    def __init__(self, compiled: Any, target: Target, streams: int) -> None:
        import openvino

        super().__init__(compiled, target)
        self.queue = openvino.AsyncInferQueue(compiled, streams)
        self.lanes = streams
        self._pool: list[dict[int, Any]] = []
        self._next = -1

    def bound(self, tensors: dict[int, Any]) -> None:
        """Keep what is bound before the first Block: these batches are served in turn."""
        if self._next < 0:
            self._pool.append(tensors)

    def serve(self, count: int, clock: Clock, wake: Callable[[], None] = lambda: None) -> Block:
        """Time `count` requests; each goes to a stream that is free, after its last outputs were copied.

        The time of a call is OpenVINO's own, from the start of the request to its end.
        """
        queue, pool, size = self.queue, self._pool, len(self._pool)
        first = max(self._next, 0)
        self._next = (first + count + 1) % size
        calls_ns = np.zeros(count, np.int64)
        running: dict[int, int] = {}

        def take(request: int) -> Outputs:
            done = queue[request]
            calls_ns[running[request]] = max(round(done.latency * 1e6), 1)  # given in ms
            return tuple(np.array(tensor.data) for tensor in done.output_tensors)

        with no_garbage_collection():
            wake()
            start = clock.now_ns()
            for number in range(count):
                request = queue.get_idle_request_id()
                if request in running:
                    take(request)
                running[request] = number
                queue.start_async(pool[(first + number) % size])
            queue.wait_all()
            outputs = {running[request]: take(request) for request in running}
            duration = elapsed_ns(start, clock.now_ns())
        return Block(calls_ns, duration, outputs[count - 1], (first + count - 1) % size)


def _unfit(config: OpenVino, scenario: str, threads: int, replicas: int) -> str | None:
    """Return why several streams cannot work: they need several requests at once, and a thread each."""
    if config.streams > 1 and (scenario != "offline" or replicas > 1):
        return "streams of OpenVINO work only in the scenario offline, and not in replicas"
    if config.streams > threads:
        return f"{config.streams} streams need as many threads; the budget is {threads}"
    return None


def _settings(config: OpenVino, target: Target) -> dict[str, Any]:
    """Return the properties of the compiled model: the thread budget, which its streams share."""
    return {
        "PERFORMANCE_HINT": "LATENCY" if config.streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": config.streams,
        "INFERENCE_NUM_THREADS": target.threads,
        "ENABLE_HYPER_THREADING": True,  # the thread budget counts logical cores
        "ENABLE_CPU_PINNING": False,  # the worker is pinned already
        "INFERENCE_PRECISION_HINT": config.precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": config.dynamic_quantization_group,
    }


_LINES = '''\
import openvino

SETTINGS = {{
{settings}}}


def load():
    """Load the model, which OpenVINO compiled for this processor, batch and number of threads."""
    blob = openvino.tensor_from_file(str(FOLDER / "{file}"))
    return openvino.Core().import_model(blob, "CPU", SETTINGS)


def run(model, inputs):
    """Run one batch; return the outputs as arrays.{streams}"""
    return model(inputs).to_tuple()
'''
_STREAMS = " It uses one of {} streams; openvino.AsyncInferQueue uses all."


def _snippet(config: OpenVino, _artifact: Artifact, target: Target) -> str:
    """Return lines that load and run the compiled model."""
    streams = _STREAMS.format(config.streams) if config.streams > 1 else ""
    shown = "".join(f"    {name!r}: {value!r},\n" for name, value in _settings(config, target).items())
    return _LINES.format(settings=shown, file=openvino_files.BLOB, streams=streams)


@runtime(
    "openvino",
    OpenVino,
    takes=(openvino_files.BLOB_FORMAT,),
    title="OpenVINO",
    summary="OpenVINO, compiled ahead of time for one batch",
    imports=("openvino",),
    packages=("openvino",),
    extra="openvino",
    devices=("cpu",),
    unfit=_unfit,
    snippet=_snippet,
    compute_dtype=lambda config: (
        {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}[config.precision]
        + (" or int8" if config.dynamic_quantization_group else "")  # OpenVINO does not report for which
    ),
)
def open_session(config: OpenVino, artifact: Artifact, target: Target) -> Session:
    """Load the compiled model with the thread budget, which its streams share.

    Raises HarnessError when OpenVINO silently uses another precision than the requested one, because the
    processor lacks it, or another number of streams.
    """
    import openvino

    blob = openvino.tensor_from_file(str(artifact.file(openvino_files.BLOB)))
    try:
        compiled = openvino.Core().import_model(blob, "CPU", _settings(config, target))
    except RuntimeError as error:
        raise HarnessError(
            f"OpenVINO cannot load the compiled model: {openvino_files.reason(error)}"
        ) from error
    given = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if given != config.precision:
        raise HarnessError(f"OpenVINO computes in {given} on this processor, not in {config.precision}")
    if (streams := compiled.get_property("NUM_STREAMS")) != config.streams:
        raise HarnessError(f"OpenVINO makes {streams} streams here, not {config.streams}")
    if config.streams > 1:
        return StreamsSession(compiled, target, config.streams)
    return OpenVinoSession(compiled, target)
