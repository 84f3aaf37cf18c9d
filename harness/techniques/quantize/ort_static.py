"""Static int8 in QDQ form for ONNX Runtime: ranges of activations from calibration on training data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from harness.artifacts import onnx_graph
from harness.artifacts.artifact import Artifact
from harness.artifacts.tensors import Array, check_arrays
from harness.errors import BuildError
from harness.techniques.quantize.counting import report
from harness.techniques.registry import BuildContext, StepConfig, transform
from harness.zoo.registry import Data


class Calibration(StepConfig):
    """How many training items, drawn with the Suite's seed, and how ranges come from them."""

    samples: int = Field(default=512, ge=1, le=100_000)
    batch: int = Field(default=64, ge=1)
    method: Literal["minmax", "entropy", "percentile"] = "minmax"


class StaticQuantize(StepConfig):
    """Activations and weights in int8; scales fixed at build time."""

    method: Literal["static"] = "static"
    dtype: Literal["int8"] = "int8"
    activation: Literal["uint8", "int8"] = "uint8"
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"
    )
    calibration: Calibration = Calibration()


@transform(
    "quantize",
    StaticQuantize,
    select=("method", "static"),
    takes=(onnx_graph.FORM,),
    yields=onnx_graph.FORM,
    summary="int8 weights and activations, calibrated on training data, QDQ (ONNX Runtime)",
    packages=("onnxruntime", "onnx"),
    devices=("cpu",),
    specialises=("machine",),
    keeps=("parameters", "nonzero_parameters", "flops_per_item"),
    version=2,
    needs_training_data=lambda _config: True,
)
def quantize_static(
    config: StaticQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Calibrate, rewrite the graph, and report what was quantized."""
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
    )
    from onnxruntime.quantization import (
        quantize_static as quantize,
    )

    from harness.techniques.quantize.ranges import needs_reduced_range, quiet_quantizer

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    reduce = needs_reduced_range(context) if config.reduce_range == "auto" else config.reduce_range
    reader = _reader(config.calibration, context)
    with quiet_quantizer():
        quantize(
            str(source.file(onnx_graph.MODEL)),
            str(out / onnx_graph.MODEL),
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=config.per_channel,
            reduce_range=reduce,
            activation_type=QuantType.QUInt8 if config.activation == "uint8" else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[config.calibration.method],
        )
    model = onnx_graph.load_checked(out / onnx_graph.MODEL)
    details = report(model, onnx_graph.load_checked(source.file(onnx_graph.MODEL)))
    return {**details, "reduced_range": reduce, "calibration_items": reader.items}


def calibration_items(config: Calibration, context: BuildContext) -> Data:
    """Draw the calibration items. Raises BuildError when there are too few or they do not fit the model."""
    data = context.training_data()
    if len(data) < config.samples:
        raise BuildError(f"calibration wants {config.samples} items, the training data has {len(data)}")
    if faults := check_arrays(data.inputs, context.inputs, "calibration data"):
        raise BuildError("; ".join(faults))
    chosen = np.sort(np.random.default_rng(context.seed).choice(len(data), config.samples, replace=False))
    return Data(tuple(array[chosen] for array in data.inputs))


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of `number` up to `most`: the histogram calibrators want equal batches."""
    return next(d for d in range(min(most, number), 0, -1) if number % d == 0)


def _reader(config: Calibration, context: BuildContext) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    data = calibration_items(config, context)
    names = [spec.name for spec in context.inputs]
    size = largest_divisor(len(data), config.batch)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self.items = len(data)
            self.batches: Iterator[dict[str, Array]] = (
                {n: array[i : i + size] for n, array in zip(names, data.inputs, strict=True)}
                for i in range(0, len(data), size)
            )

        def get_next(self) -> dict[str, Array] | None:
            return next(self.batches, None)

    return Reader()
