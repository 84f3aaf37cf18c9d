"""Accuracy-aware int8 for OpenVINO by NNCF: layers return to float until the loss is small enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats import openvino as openvino_files
from harness.formats.tensors import Array, refuse_other_axes
from harness.techniques.quantize.calibration import cut, draw_samples, used
from harness.techniques.quantize.nncf_static import (
    STATIC,
    NncfStaticSettings,
    advanced,
    arguments,
    by_nncf,
    fixed_batch,
    load_nncf,
    read_float,
    save_reported,
)
from harness.techniques.quantize.ranges import is_reduced
from harness.techniques.registry import BuildContext, transform
from harness.zoo.registry import METRICS, Data

Batch = tuple[list[Array], Array]
"""An array for each input, and the labels or reference outputs."""
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


class NncfAccuracy(NncfStaticSettings):
    """Accuracy is top-1 on training samples outside the calibration; without labels, agreement with float."""

    method: Literal["nncf-accuracy"] = "nncf-accuracy"
    max_drop: float = Field(
        default=0.005,
        gt=0,
        lt=1,
        description="accuracy that may be lost, as a share: 0.005 is half a percentage point",
    )
    validation_samples: int = Field(default=1000, ge=1, le=100_000)


@transform(
    "quantize",
    NncfAccuracy,
    select=("method", "nncf-accuracy"),
    summary="static int8, the most sensitive layers left in float to keep accuracy, by NNCF (OpenVINO)",
    **STATIC,
)
def quantize_with_accuracy(
    config: NncfAccuracy, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize, restore layers until the loss is within `max_drop`, and report what is left in integers."""
    import openvino

    refuse_other_axes(context.inputs, "nncf-accuracy")
    nncf = load_nncf()
    reduce = is_reduced(config, context)
    model = read_float(source, config)
    fixed, size = fixed_batch(model, context.inputs), config.calibration.batch
    calibration, validation = draw_samples(
        context, calibration=config.calibration.samples, validation=config.validation_samples
    )
    samples = _with_truth(model, validation, size, fixed)
    calibrating = cut(calibration, size, fixed)
    metric = METRICS.get("agreement" if validation.labels is None else "top-1")

    def validate(compiled: Any, chosen: Iterable[Batch]) -> tuple[float, list[float]]:
        scores = [metric.score(_outputs(compiled, inputs), truth) for inputs, truth in chosen]
        return float(np.concatenate(scores).mean()), [float(part.mean()) for part in scores]

    with by_nncf(model):
        quantized = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(calibrating),
            nncf.Dataset(samples),
            validate,
            max_drop=config.max_drop,
            advanced_quantization_parameters=advanced(config.calibration, fixed or size, reduced=reduce),
            **arguments(config, calibration),
        )
    unquantized = openvino_files.read_model(source.file(openvino_files.XML))
    return {
        **save_reported(quantized, source, out),
        "reduced_range": reduce,
        "calibration_samples": used(calibration, fixed),
        "validation_samples": used(validation, fixed),
        "validation_metric": metric.name,
        "validation_float": validate(openvino.Core().compile_model(unquantized, "CPU", F32), samples)[0],
        "validation_quantized": validate(openvino.Core().compile_model(quantized, "CPU", F32), samples)[0],
    }


def _with_truth(model: Any, data: Data, size: int, fixed: int | None) -> list[Batch]:
    """Return batches with their labels; without labels, with the outputs of the float model."""
    import openvino

    parts = cut(data, size, fixed)
    if data.labels is not None:
        size = fixed or size
        return [(part, data.labels[i * size : (i + 1) * size]) for i, part in enumerate(parts)]
    reference = openvino.Core().compile_model(model, "CPU", F32)
    return [(part, _outputs(reference, part)[0]) for part in parts]


def _outputs(compiled: Any, inputs: list[Array]) -> tuple[Array, ...]:
    return tuple(compiled(inputs).to_tuple())
