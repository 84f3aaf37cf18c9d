"""Static int8 for PyTorch: calibrated in the exported graph (PT2E), run by oneDNN's integer kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.aoti.package import compiling, package
from harness.formats.low_precision import aoti as compiled_counting
from harness.formats.low_precision.torch import refuse_float_graph
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.techniques.quantize.calibration import draw_samples
from harness.techniques.quantize.pt2e_exporting import exported_graph
from harness.techniques.quantize.ranges import resolve_range
from harness.techniques.registry import BuildContext, StepConfig, transform
from harness.zoo.registry import Data

if TYPE_CHECKING:
    import torch


class Pt2eCalibration(StepConfig):
    """How many training items, drawn with the Suite's seed; ranges come from histograms of them."""

    samples: int = Field(default=512, ge=1, le=100_000)
    batch: int = Field(default=64, ge=1)


class Pt2eStatic(StepConfig):
    """Activations in uint8 by tensor, weights in int8 by output channel; scales fixed at build time."""

    method: Literal["pt2e-static"] = "pt2e-static"
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit activations; auto: where the CPU's 16-bit sums could saturate"
    )
    calibration: Pt2eCalibration = Pt2eCalibration()


@transform(
    "quantize",
    Pt2eStatic,
    select=("method", "pt2e-static"),
    takes=(torch_module.FORMAT,),
    yields=aoti.FORMAT,
    summary="int8 weights and activations by PT2E's x86 quantizer (torchao, for torch-compile)",
    packages=("torchao", "torch"),
    extra="torchao",
    devices=("cpu",),
    specialize_on=("batch", "device", "threads", "machine"),
    resolve=resolve_range,
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
    needs_training_data=lambda _config: True,
)
def quantize_pt2e(config: Pt2eStatic, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Calibrate, quantize and compile the module as given."""
    reduced = resolve_range(config, context.target, context.cpu_features)["reduce_range"]
    module = torch_module.load_module(source.folder)
    return quantized_package(module, config.calibration, reduced, out, context)


def quantized_package(
    module: torch.nn.Module, calibration: Pt2eCalibration, reduced: bool, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Write the package into `out`; report what was quantized, and the integer kernels in the code.

    `reduced` keeps activations in 7 bits. Raises BuildError when nothing computes in integers.
    """
    import torch

    (data,) = draw_samples(context, calibration=calibration.samples)
    with compiling(context.target):
        converted = _converted(module, data, calibration.batch, context.inputs, reduced=reduced)
        example = example_tensors(context.inputs, context.target.batch, context.seed)
        exported = torch.export.export(converted, example)
        refuse_float_graph(exported.graph)
        made = package(exported, out, freezing=True)  # packs the weights as the integer kernels read them
    counted = compiled_counting.report(made, out / aoti.PACKAGE)
    if not counted["integer_operators"]:
        raise BuildError("nothing computes in integers: the compiler left every operator in float")
    return {
        **counted,
        "reduced_range": reduced,
        "calibration_samples": len(data),
        "batch": context.target.batch,
        "threads": context.target.threads,
    }


def _converted(module: Any, data: Data, size: int, inputs: tuple[TensorSpec, ...], *, reduced: bool) -> Any:
    """The exported graph with observed ranges as quantize and dequantize pairs; its batch is free."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    settings = x86.get_default_x86_inductor_quantization_config(reduce_range=reduced)
    prepared = prepare_pt2e(exported_graph(module, inputs), x86.X86InductorQuantizer().set_global(settings))
    for i in range(0, len(data), size):
        prepared(*(torch.from_numpy(array[i : i + size]) for array in data.inputs))
    return convert_pt2e(prepared)
