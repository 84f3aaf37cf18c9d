"""Quantization-aware training: a few epochs with fake quantization, then static int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.onnx import graph as onnx_graph
from harness.formats.registry import COUNTS
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.techniques.convert.export import exported_copy
from harness.techniques.finetuning import Training
from harness.techniques.quantize import ort_static, pt2e_static
from harness.techniques.quantize.calibration import Calibration
from harness.techniques.quantize.pt2e_static import Pt2eCalibration
from harness.techniques.quantize.qat_training import Grid, train_quantized
from harness.techniques.quantize.ranges import is_reduced, resolve_range
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import torch


class QuantizationAware(Training):
    """Trained for int8, then calibrated and quantized like a trained model."""

    method: Literal["qat"] = "qat"
    learning_rate: float = Field(default=1e-4, gt=0, description="peak of a one-cycle schedule")
    per_channel: bool = Field(
        default=True, description="one weight scale for each output channel; false: for ONNX graphs only"
    )
    reduce_range: bool | Literal["auto"] = Field(
        default="auto",
        description="7 bits (ONNX: weights; PT2E: activations); auto: where sums could saturate",
    )
    calibration: Pt2eCalibration = Pt2eCalibration()


_ABOUT: dict[str, Any] = {
    "select": ("method", "qat"),
    "takes": (torch_module.FORMAT,),
    "extra": "torchao",
    "devices": ("cpu",),
    "keeps": COUNTS,
    "needs_training_data": lambda _config: True,
}


def _static(config: QuantizationAware) -> ort_static.StaticQuantize:
    """Return the settings of ONNX Runtime's static step."""
    return ort_static.StaticQuantize(
        per_channel=config.per_channel,
        reduce_range=config.reduce_range,
        calibration=Calibration(samples=config.calibration.samples, batch=config.calibration.batch),
    )


def _resolve_onnx(config: QuantizationAware, target: Target, cpu_features: frozenset[str]) -> dict[str, Any]:
    return ort_static.resolve(_static(config), target, cpu_features)


@transform(
    "quantize",
    QuantizationAware,
    implementation="onnx",
    yields=onnx_graph.FORMAT,
    summary="int8 by quantization-aware training (torchao), QDQ (ONNX Runtime, OpenVINO)",
    packages=("torchao", "torch", "onnx", "onnxscript", "onnxruntime"),
    resolve=_resolve_onnx,
    needs_fusion=True,
    **_ABOUT,
)
def quantize_to_onnx(
    config: QuantizationAware, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Train, export, calibrate and quantize; report as the static step does."""
    reduced = is_reduced(config, context)
    grid = Grid(weight_max=64 if reduced else 127, activation_max=255, per_channel=config.per_channel)
    module, about = _trained(config, grid, source, context)
    with tempfile.TemporaryDirectory() as folder:
        graph = exported_copy(module, source, Path(folder), context)
        return {**ort_static.quantize_static(_static(config), graph, out, context), **about}


@transform(
    "quantize",
    QuantizationAware,
    implementation="pt2e",
    yields=aoti.FORMAT,
    summary="int8 by quantization-aware training (torchao, for torch-compile)",
    packages=("torchao", "torch"),
    specialize_on=("batch", "device", "threads", "machine"),
    resolve=resolve_range,
    **_ABOUT,
)
def quantize_to_package(
    config: QuantizationAware, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Train, calibrate, quantize and compile; report as the PT2E step does."""
    if not config.per_channel:
        raise BuildError("per_channel: false is for ONNX graphs; PT2E has a weight scale for each channel")
    reduced = is_reduced(config, context)
    grid = Grid(weight_max=127, activation_max=127 if reduced else 255, per_channel=True)
    module, about = _trained(config, grid, source, context)
    return {**pt2e_static.quantized_package(module, config.calibration, reduced, out, context), **about}


def _trained(
    config: QuantizationAware, grid: Grid, source: Artifact, context: BuildContext
) -> tuple[torch.nn.Module, dict[str, Any]]:
    module = torch_module.load_folded(source.folder)
    losses = train_quantized(module, grid, config, context)
    context.say(f"mean loss of each epoch: {losses}")
    return module, {"epochs": config.epochs, "training_losses": losses}
