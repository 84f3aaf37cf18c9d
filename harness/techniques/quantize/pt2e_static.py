"""Static int8 for PyTorch: calibrated in the exported graph (PT2E), run by oneDNN's integer kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.aoti import package as aoti
from harness.formats.aoti.package import compiling, package
from harness.formats.low_precision import aoti as compiled_counting
from harness.formats.low_precision.torch import refuse_float_graph
from harness.formats.registry import COUNTS
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import batch_shapes, example_tensors
from harness.formats.torch.failures import layer_names
from harness.formats.torch.outputs import flat_outputs
from harness.techniques.blame import Excluding, check_excluded, naming
from harness.techniques.quantize.calibration import CalibrationSamples, cut, draw_samples
from harness.techniques.quantize.ranges import is_reduced, resolve_range
from harness.techniques.registry import BuildContext, transform
from harness.zoo.registry import Data

if TYPE_CHECKING:
    import torch


class Pt2eCalibration(CalibrationSamples):
    """How many training samples are drawn, with the Suite's seed; ranges come from their histograms."""


class Pt2eStatic(Excluding):
    """Activations in uint8 per tensor, weights in int8 per output channel; scales fixed at build time."""

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
    keeps=COUNTS,
    needs_training_data=lambda _config: True,
)
def quantize_pt2e(config: Pt2eStatic, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Calibrate, quantize and compile the module."""
    module = torch_module.load_folded(source.folder)
    reduced = is_reduced(config, context)
    return quantized_package(module, config.calibration, reduced, out, context, config.exclude)


def quantized_package(
    module: torch.nn.Module,
    calibration: Pt2eCalibration,
    reduced: bool,
    out: Path,
    context: BuildContext,
    exclude: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Quantize and compile `module` into `out`; report the integer kernels that its code calls.

    `reduced` keeps activations in 7 bits. Raises BuildError when nothing computes in integers.
    """
    import torch

    (data,) = draw_samples(context, calibration=calibration.samples)
    check_excluded(exclude, dict(module.named_modules()))
    with compiling(context.target):
        size, inputs = calibration.batch, context.inputs
        converted = _converted(module, data, size, inputs, reduced=reduced, exclude=exclude)
        example = example_tensors(context.inputs, context.target.batch, context.seed)
        exported = torch.export.export(converted, example)
        refuse_float_graph(exported.graph)
        made = package(exported, out, freezing=True)  # packs the weights in the layout of the integer kernels
    return {
        **compiled_counting.report(made, out / aoti.PACKAGE, integer=True),
        "reduced_range": reduced,
        "calibration_samples": len(data),
        "batch": context.target.batch,
        "threads": context.target.threads,
    }


def _converted(
    module: Any,
    data: Data,
    size: int,
    inputs: tuple[TensorSpec, ...],
    *,
    reduced: bool,
    exclude: tuple[str, ...] = (),
) -> Any:
    """Return the exported graph with calibrated quantize and dequantize pairs; its batch is free."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    settings = x86.get_default_x86_inductor_quantization_config(reduce_range=reduced)
    quantizer = x86.X86InductorQuantizer().set_global(settings)
    for name in exclude:
        quantizer.set_module_name_qconfig(name, None)
    names = layer_names(module)
    with naming("torch cannot export the module", names, remedy=""):
        graph = exported_graph(module, inputs)
    with naming("PT2E failed", names):
        prepared = prepare_pt2e(graph, quantizer)
        for part in cut(data, size):
            prepared(*map(torch.from_numpy, part))
        return convert_pt2e(prepared)


def exported_graph(module: torch.nn.Module, inputs: tuple[TensorSpec, ...]) -> Any:
    """Return the graph of `module` in its current mode, its batch free (a torch.fx.GraphModule)."""
    import torch

    example = example_tensors(inputs, 2, seed=0)
    with flat_outputs(module):
        graph = torch.export.export(module, example, dynamic_shapes=batch_shapes(module, inputs)).module()
    _name_calls_uniquely(graph)
    return graph


def _name_calls_uniquely(graph: Any) -> None:
    """Give each call of a module that is called several times a unique name.

    PT2E's quantizers find layers by the module that each operator came from. The second call of one ReLU
    would belong to the first call's partition, which would have two outputs, and the quantizers would fail.
    The exporter marks the second call only in the key: ``L__self__block.relu@1``.
    """
    for node in graph.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if stack and "@" in (key := next(reversed(stack))):
            node.meta["nn_module_stack"] = {**stack, key: (key, stack[key][1])}
