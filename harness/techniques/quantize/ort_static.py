"""Static int8 (QDQ) for ONNX Runtime: ranges of activations are calibrated on training data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.low_precision.onnx import report, running_kernels
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.formats.tensors import Array, count_samples
from harness.techniques.blame import Excluding
from harness.techniques.quantize.calibration import Calibration, batches
from harness.techniques.quantize.ort_library import GRAPH, save_checked
from harness.techniques.quantize.ort_preparation import Prepared, prepared
from harness.techniques.quantize.ranges import ReducedWeights, resolve_range, resolve_types, weights_in_words
from harness.techniques.quantize.static_graph import calibrate, quantized
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx


class StaticSettings(Excluding):
    """Activations and weights in int8; scales fixed at build time."""

    dtype: Literal["int8"] = "int8"
    types: Literal["auto", "u8s8", "s8s8"] = Field(
        default="auto", description="activations unsigned or signed, weights signed; auto: s8s8 on Arm"
    )
    per_channel: bool = Field(default=True, description="one weight scale for each output channel")
    reduce_range: ReducedWeights = "auto"
    calibration: Calibration = Calibration()


class StaticQuantize(StaticSettings):
    """All layers in int8."""

    method: Literal["static"] = "static"


def resolve(config: StaticSettings, target: Target, cpu_features: frozenset[str]) -> dict[str, Any]:
    """Return the values that depend on the machine: `reduce_range` and `types`."""
    return {
        **resolve_range(config, target, cpu_features),
        "types": resolve_types(config.types, cpu_features),
    }


ABOUT: dict[str, Any] = {
    **GRAPH,
    "resolve": resolve,
    "needs_training_data": lambda _config: True,
    "needs_fusion": True,
}
"""How the steps that calibrate QDQ graphs are registered."""


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
    with prepared(source, config) as given:
        calibration = batches(config.calibration, context, onnx_graph.fixed_batch(given.model))
        ranges = calibrate(given.path, config.calibration, calibration)
        resolved = resolve(config, context.target, context.cpu_features)
        model = quantized(given, ranges, resolved, config.per_channel, config.exclude)
    return finish(model, given, calibration, config, out, context)


def finish(
    model: onnx.ModelProto,
    given: Prepared,
    calibration: list[dict[str, Array]],
    config: StaticSettings,
    out: Path,
    context: BuildContext,
) -> dict[str, Any]:
    """Save `model`, made from `given`, and report what was quantized and how."""
    made = save_checked(model, out, context)
    details = report(model, given.model, integer=True, kernels=running_kernels(made))
    resolved = resolve(config, context.target, context.cpu_features)
    activation = "uint8" if resolved["types"] == "u8s8" else "int8"
    scales = "channel" if config.per_channel else "tensor"
    return {
        **details,
        **given.notes,
        "reduced_range": resolved["reduce_range"],
        "types": resolved["types"],
        "calibration_samples": sum(
            count_samples(list(batch.values()), [spec.batch_axis for spec in context.inputs])
            for batch in calibration
        ),
        "compute_dtype": f"{activation} × int8, one weight scale per {scales}; "
        + weights_in_words(config, context),
    }
