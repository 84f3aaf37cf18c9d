"""Static int8 in QDQ form for ONNX Runtime: ranges of activations from calibration on training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.low_precision.onnx import report
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.techniques.quantize.calibration import Calibration, batches
from harness.techniques.quantize.ranges import resolve_range, resolve_types, weights_in_words
from harness.techniques.registry import BuildContext, StepConfig, transform


class StaticSettings(StepConfig):
    """Activations and weights in int8; scales fixed at build time."""

    dtype: Literal["int8"] = "int8"
    types: Literal["auto", "u8s8", "s8s8"] = Field(
        default="auto", description="activations unsigned or signed, weights signed; auto: s8s8 on Arm"
    )
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"
    )
    calibration: Calibration = Calibration()


class StaticQuantize(StaticSettings):
    """All layers in int8."""

    method: Literal["static"] = "static"


def resolve(config: StaticSettings, target: Target, cpu_features: frozenset[str]) -> dict[str, Any]:
    """Return what the machine decides: `reduce_range` and `types`."""
    return {
        **resolve_range(config, target, cpu_features),
        "types": resolve_types(config.types, cpu_features),
    }


ABOUT: dict[str, Any] = {
    "takes": (onnx_graph.FORMAT,),
    "yields": onnx_graph.FORMAT,
    "packages": ("onnxruntime", "onnx"),
    "devices": ("cpu",),
    "resolve": resolve,
    "keeps": ("parameters", "nonzero_parameters", "flops_per_sample"),
    "needs_training_data": lambda _config: True,
    "needs_fusion": True,
}
"""What the steps that calibrate into QDQ form are registered with."""


@transform(
    "quantize",
    StaticQuantize,
    select=("method", "static"),
    summary="int8 weights and activations, calibrated on training data, QDQ (ONNX Runtime)",
    **ABOUT,
)
def quantize_static(
    config: StaticQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Calibrate, rewrite the graph, and report what was quantized."""
    import onnx

    from harness.techniques.quantize.probing import check_runs, kernels
    from harness.techniques.quantize.static_graph import calibrate, quantized

    path, made = source.file(onnx_graph.MODEL), out / onnx_graph.MODEL
    before = onnx_graph.load_checked(path)
    fixed = onnx_graph.fixed_batch(before)
    calibration = batches(config.calibration, context, fixed)
    ranges = calibrate(path, config.calibration, calibration)
    resolved = resolve(config, context.target, context.cpu_features)
    model = quantized(path, ranges, resolved, config.per_channel)
    onnx.save(model, str(made))
    check_runs(made, context.inputs, fixed or 1)
    details = report(model, before, integer=True, kernels=kernels(made))
    return {**details, **describe(config, context, calibration)}


def describe(
    config: StaticSettings, context: BuildContext, calibration: list[dict[str, Array]]
) -> dict[str, Any]:
    """Report what was settled, and how."""
    resolved = resolve(config, context.target, context.cpu_features)
    activation = "uint8" if resolved["types"] == "u8s8" else "int8"
    weights = weights_in_words(config, resolved["reduce_range"], context.target, context.cpu_features)
    scales = "a channel" if config.per_channel else "a tensor"
    return {
        "reduced_range": resolved["reduce_range"],
        "types": resolved["types"],
        "calibration_samples": sum(len(next(iter(batch.values()))) for batch in calibration),
        "compute_dtype": f"{activation} × int8, one weight scale {scales}; {weights}",
    }
