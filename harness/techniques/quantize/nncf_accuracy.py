"""Accuracy-aware int8 for OpenVINO by NNCF: the worst layers go back to float until accuracy holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from harness.artifacts import openvino_ir
from harness.artifacts.artifact import Artifact
from harness.artifacts.tensors import Array, check_arrays
from harness.errors import BuildError
from harness.techniques.quantize.nncf_library import (
    NncfCalibration,
    batches,
    load_nncf,
    quantization_settings,
)
from harness.techniques.quantize.openvino_counting import report
from harness.techniques.quantize.ranges import settle_range
from harness.techniques.registry import BuildContext, StepConfig, transform
from harness.zoo.registry import METRICS, Data

Item = tuple[list[Array], Array]
"""A batch: an array for each input, and the labels or reference outputs."""
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


class NncfAccuracy(StepConfig):
    """Accuracy is top-1 on training items not calibrated on; without labels, agreement with float."""

    method: Literal["nncf-accuracy"] = "nncf-accuracy"
    max_drop: float = Field(
        default=0.005, gt=0, lt=1, description="accuracy that may be lost, as a share: 0.005 is half a point"
    )
    preset: Literal["performance", "mixed"] = "performance"
    transformer: bool = Field(default=False, description="NNCF's patterns and smoothing for transformers")
    reduce_range: bool | Literal["auto"] = "auto"
    validation_samples: int = Field(default=1000, ge=1, le=100_000)
    calibration: NncfCalibration = NncfCalibration()


@transform(
    "quantize",
    NncfAccuracy,
    select=("method", "nncf-accuracy"),
    takes=(openvino_ir.FORM,),
    yields=openvino_ir.FORM,
    summary="static int8, the most harmful layers left in float until accuracy holds, by NNCF (OpenVINO)",
    packages=("nncf", "openvino"),
    extra="openvino",
    devices=("cpu",),
    settles=settle_range,
    keeps=("parameters", "nonzero_parameters", "flops_per_item"),
    needs_training_data=lambda _config: True,
)
def quantize_with_accuracy(
    config: NncfAccuracy, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize, restore layers until the drop is within `max_drop`, and report what is left in integers."""
    import openvino

    nncf = load_nncf()
    reduce = settle_range(config, context.target, context.cpu_features)["reduce_range"]
    calibration, validation = _drawn(config, context)
    model = openvino_ir.read_model(source.file(openvino_ir.XML))
    items = _with_truth(model, validation, config.calibration.batch)
    metric = METRICS.get("agreement" if validation.labels is None else "top-1")

    def validate(compiled: Any, chosen: Iterable[Item]) -> tuple[float, list[float]]:
        scores = [metric.score(_answers(compiled, inputs), truth) for inputs, truth in chosen]
        return float(np.concatenate(scores).mean()), [float(part.mean()) for part in scores]

    quantized = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(batches(calibration, config.calibration.batch)),
        nncf.Dataset(items),
        validate,
        max_drop=config.max_drop,
        preset=nncf.QuantizationPreset(config.preset),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER if config.transformer else None,
        advanced_quantization_parameters=quantization_settings(reduce, config.calibration),
    )
    openvino_ir.save_model(quantized, out)
    unquantized = openvino_ir.read_model(source.file(openvino_ir.XML))
    details = report(quantized, unquantized)
    return {
        **details,
        "reduced_range": reduce,
        "calibration_items": len(calibration),
        "validation_items": len(validation),
        "validation_metric": metric.name,
        "validation_float": validate(openvino.Core().compile_model(unquantized, "CPU", F32), items)[0],
        "validation_quantized": validate(openvino.Core().compile_model(quantized, "CPU", F32), items)[0],
    }


def _drawn(config: NncfAccuracy, context: BuildContext) -> tuple[Data, Data]:
    """Draw calibration and validation items, none of them in both."""
    data = context.training_data()
    first, second = config.calibration.samples, config.validation_samples
    if len(data) < first + second:
        raise BuildError(
            f"calibration and validation want {first} + {second} items, the training data has {len(data)}"
        )
    if faults := check_arrays(data.inputs, context.inputs, "calibration data"):
        raise BuildError("; ".join(faults))
    order = np.random.default_rng(context.seed).choice(len(data), first + second, replace=False)
    return _chosen(data, order[:first]), _chosen(data, order[first:])


def _chosen(data: Data, places: Array) -> Data:
    labels = None if data.labels is None else data.labels[places]
    return Data(tuple(array[places] for array in data.inputs), labels)


def _with_truth(model: Any, data: Data, size: int) -> list[Item]:
    """Batches with their labels; without labels, with the answers of the float model."""
    import openvino

    parts = batches(data, size)
    if data.labels is not None:
        return [(part, data.labels[i * size : (i + 1) * size]) for i, part in enumerate(parts)]
    reference = openvino.Core().compile_model(model, "CPU", F32)
    return [(part, _answers(reference, part)[0]) for part in parts]


def _answers(compiled: Any, inputs: list[Array]) -> tuple[Array, ...]:
    return tuple(compiled(inputs).to_tuple())
