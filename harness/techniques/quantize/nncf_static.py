"""Static int8 for OpenVINO by NNCF: ranges from training data, biases corrected, accuracy kept if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts import openvino_ir
from harness.artifacts.artifact import Artifact
from harness.techniques.quantize.nncf_library import (
    NncfCalibration,
    batches,
    drawn,
    load_nncf,
    quantization_settings,
)
from harness.techniques.quantize.openvino_counting import report
from harness.techniques.quantize.ranges import settle_range
from harness.techniques.registry import BuildContext, StepConfig, transform


class NncfStatic(StepConfig):
    """Activations and weights in int8; scales fixed at build time."""

    method: Literal["nncf-static"] = "nncf-static"
    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="activations: performance symmetric, mixed with a zero point"
    )
    bias_correction: Literal["none", "fast", "full"] = Field(
        default="fast", description="how the mean error of quantized layers is taken out of their biases"
    )
    transformer: bool = Field(default=False, description="NNCF's patterns and smoothing for transformers")
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"
    )
    calibration: NncfCalibration = NncfCalibration()


@transform(
    "quantize",
    NncfStatic,
    select=("method", "nncf-static"),
    takes=(openvino_ir.FORM,),
    yields=openvino_ir.FORM,
    summary="int8 weights and activations, calibrated on training data by NNCF (OpenVINO)",
    packages=("nncf", "openvino"),
    extra="openvino",
    devices=("cpu",),
    settles=settle_range,
    keeps=("parameters", "nonzero_parameters", "flops_per_item"),
    needs_training_data=lambda _config: True,
)
def quantize_nncf(config: NncfStatic, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Calibrate, quantize the graph, and report what was quantized."""
    nncf = load_nncf()
    reduce = settle_range(config, context.target, context.cpu_features)["reduce_range"]
    data = drawn(config.calibration, context)
    dataset = nncf.Dataset(batches(data, config.calibration.batch))
    model = openvino_ir.read_model(source.file(openvino_ir.XML))
    quantized = nncf.quantize(
        model,
        dataset,
        preset=nncf.QuantizationPreset(config.preset),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(data),
        fast_bias_correction=config.bias_correction != "full",
        model_type=nncf.ModelType.TRANSFORMER if config.transformer else None,
        advanced_parameters=quantization_settings(
            reduce, config.calibration, correct_biases=config.bias_correction != "none"
        ),
    )
    openvino_ir.save_model(quantized, out)
    details = report(quantized, openvino_ir.read_model(source.file(openvino_ir.XML)))
    return {**details, "reduced_range": reduce, "calibration_items": len(data)}
