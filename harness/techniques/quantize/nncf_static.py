"""Static int8 for OpenVINO by NNCF: ranges from training data, biases corrected, accuracy kept if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats import openvino as openvino_files
from harness.formats.low_precision.openvino import report
from harness.techniques.quantize.calibration import cut, draw_samples
from harness.techniques.quantize.nncf_library import (
    STATIC,
    NncfStaticSettings,
    advanced,
    arguments,
    fixed_batch,
    load_nncf,
)
from harness.techniques.quantize.ranges import resolve_range
from harness.techniques.registry import BuildContext, transform


class NncfStatic(NncfStaticSettings):
    """Activations and weights in int8; scales fixed at build time."""

    method: Literal["nncf-static"] = "nncf-static"
    bias_correction: Literal["none", "fast", "full"] = Field(
        default="fast", description="how the mean error of quantized layers is taken out of their biases"
    )


@transform(
    "quantize",
    NncfStatic,
    select=("method", "nncf-static"),
    summary="int8 weights and activations, calibrated on training data by NNCF (OpenVINO)",
    **STATIC,
)
def quantize_nncf(config: NncfStatic, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Calibrate, quantize the graph, and report what was quantized."""
    nncf = load_nncf()
    reduce = resolve_range(config, context.target, context.cpu_features)["reduce_range"]
    model = openvino_files.read_model(source.file(openvino_files.XML))
    fixed = fixed_batch(model)
    (data,) = draw_samples(context, calibration=config.calibration.samples)
    samples = cut(data, config.calibration.batch, fixed)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples),
        fast_bias_correction=config.bias_correction != "full",
        advanced_parameters=advanced(
            config.calibration,
            fixed or config.calibration.batch,
            reduced=reduce,
            correct_biases=config.bias_correction != "none",
        ),
        **arguments(config, data),
    )
    openvino_files.save_model(quantized, out)
    details = report(quantized, openvino_files.read_model(source.file(openvino_files.XML)))
    return {
        **details,
        "reduced_range": reduce,
        "calibration_samples": sum(len(batch[0]) for batch in samples),
    }
