"""openvino: OpenVINO's CPU plugin; the Session loads a compiled model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats import openvino as openvino_files
from harness.formats.target import Target
from harness.formats.tensors import Array
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
        tensors = list(enumerate(openvino.Tensor(array, shared_memory=True) for array in arrays))
        place, infer = self.request.set_input_tensor, self.request.infer

        def call() -> Outputs:
            for i, tensor in tensors:
                place(i, tensor)
            return cast(Outputs, infer().to_tuple())

        return call


@runtime(
    "openvino",
    OpenVino,
    takes=(openvino_files.BLOB_FORMAT,),
    summary="OpenVINO, compiled ahead of time for one batch",
    imports=("openvino",),
    packages=("openvino",),
    extra="openvino",
    devices=("cpu",),
    compute_dtype=lambda config: (
        {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}[config.precision]
        + (" or int8" if config.dynamic_quantization_group else "")  # OpenVINO does not report for which
    ),
)
def open_session(config: OpenVino, artifact: Artifact, target: Target) -> Session:
    """Load the compiled model with the thread budget, one stream.

    Raises HarnessError when the processor cannot compute in the requested precision, for which OpenVINO
    silently uses another.
    """
    import openvino

    blob = openvino.tensor_from_file(str(artifact.file(openvino_files.BLOB)))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": target.threads,
        "ENABLE_HYPER_THREADING": True,  # the thread budget counts logical cores
        "ENABLE_CPU_PINNING": False,  # the worker is pinned already
        "INFERENCE_PRECISION_HINT": config.precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": config.dynamic_quantization_group,
    }
    try:
        compiled = openvino.Core().import_model(blob, "CPU", settings)
    except RuntimeError as error:
        raise HarnessError(
            f"OpenVINO cannot load the compiled model: {openvino_files.reason(error)}"
        ) from error
    given = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if given != config.precision:
        raise HarnessError(f"OpenVINO computes in {given} on this processor, not in {config.precision}")
    return OpenVinoSession(compiled, target)
