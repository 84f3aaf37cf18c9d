"""torchao: dense layers in int8, int4 or float8, compiled ahead of time, so that a Trial needs no torchao."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.aoti.graph import CompiledGraph
from harness.formats.low_precision import aoti as compiled_counting
from harness.formats.low_precision import torch as module_counting
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.formats.torch.failures import layer_names
from harness.techniques.blame import Excluding, check_excluded, naming
from harness.techniques.quantize.ranges import is_reduced, resolve_range, weights_in_words
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import torch

Fits = Callable[["torch.nn.Module"], bool]

_INT4_ROWS = 16
"""Outputs that torch's int4 kernel for CPUs computes at once (aten::_weight_int4pack_mm_for_cpu)."""
_FLOAT8_ALIGNED = 16
"""Both dimensions of a float8 weight must be a multiple of this (torch._scaled_mm)."""

_ABOUT: dict[str, Any] = {
    "takes": (torch_module.FORMAT,),
    "yields": aoti.FORMAT,
    "packages": ("torchao", "torch"),
    "extra": "torchao",
    "specialize_on": ("batch", "device", "threads", "machine"),
    "keeps": COUNTS,
}


class TorchaoDynamic(Excluding):
    """One weight scale per output channel, one activation scale per sample, computed at run time."""

    method: Literal["torchao-dynamic"] = "torchao-dynamic"
    dtype: Literal["int8"] = "int8"
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights and activations; auto: where 16-bit sums could saturate"
    )


class TorchaoWeightOnly(Excluding):
    """int8: one scale per output channel; int4: one per `group_size` inputs. Computation in float."""

    method: Literal["torchao-weight-only"] = "torchao-weight-only"
    dtype: Literal["int8", "int4"] = "int8"
    group_size: Literal[32, 64, 128] = Field(
        default=128,
        description="int4: weights that share a scale; dense layers that do not fit stay in float",
    )

    @model_validator(mode="after")
    def _only_used_settings(self) -> TorchaoWeightOnly:
        if self.dtype == "int8" and self.group_size != type(self).model_fields["group_size"].default:
            raise ValueError("group_size: for int4, not for int8")
        return self


class TorchaoFloat8(Excluding):
    """One scale per weight and, with float8 activations, one per batch, computed at run time."""

    method: Literal["torchao-fp8"] = "torchao-fp8"
    activations: Literal["fp8", "float"] = Field(
        default="fp8", description="float: weights are unpacked, computation stays in float"
    )


@transform(
    "quantize",
    TorchaoDynamic,
    select=("method", "torchao-dynamic"),
    summary="int8 dense layers, activations quantized at run time (torchao, for torch-compile)",
    resolve=resolve_range,
    **_ABOUT,
)
def quantize_dynamic(
    config: TorchaoDynamic, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers and compile; report the range and why where this machine decided it."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    reduce = is_reduced(config, context)
    recipe = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False, reduce_range=reduce)
    details = _build(recipe, is_dense, config, source, out, context, integer=True)
    compute_dtype = f"{details['compute_dtype']}; {weights_in_words(config, context)}"
    return {**details, "reduced_range": reduce, "compute_dtype": compute_dtype}


@transform(
    "quantize",
    TorchaoWeightOnly,
    select=("method", "torchao-weight-only"),
    summary="int8 or int4 weights of dense layers, computation in float (torchao, for torch-compile)",
    **_ABOUT,
)
def quantize_weights(
    config: TorchaoWeightOnly, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers' weights and compile."""
    if config.dtype == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return _build(Int8WeightOnlyConfig(set_inductor_config=False), is_dense, config, source, out, context)
    if context.target.device != "cpu":
        raise BuildError("torchao's int4 is supported on CPUs only")
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    group = config.group_size
    recipe = PrototypeInt4WeightOnlyConfig(group_size=group)
    return _build(recipe, lambda part: is_dense(part, group, _INT4_ROWS), config, source, out, context)


@transform(
    "quantize",
    TorchaoFloat8,
    select=("method", "torchao-fp8"),
    summary="float8 dense layers on GPUs of compute capability 8.9 or newer (torchao, for torch-compile)",
    devices=("cuda",),
    cuda_capability=(8, 9),
    **_ABOUT,
)
def quantize_float8(
    config: TorchaoFloat8, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers that fit to float8 (e4m3) on the GPU, and compile."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, Float8WeightOnlyConfig

    computed = config.activations == "fp8"
    kind = Float8DynamicActivationFloat8WeightConfig if computed else Float8WeightOnlyConfig
    module = torch_module.load_folded(source.folder)
    fits = _included(fits_float8, module, config)
    details = module_counting.report(module, context.inputs, fits, integers=computed)
    _compile(module.to(context.target.device), kind(set_inductor_config=False), fits, out, context)
    return {
        **details,
        "integer_operators": {},
        "float8_operators": details["integer_operators"],
        "batch": context.target.batch,
        "threads": context.target.threads,
    }


def is_dense(part: torch.nn.Module, inputs: int = 1, outputs: int = 1) -> bool:
    """Whether a module is a dense layer whose inputs and outputs are multiples of these."""
    import torch

    return type(part) is torch.nn.Linear and not (part.in_features % inputs or part.out_features % outputs)


def fits_float8(part: torch.nn.Module) -> bool:
    """Whether a module is a dense layer whose dimensions suit the float8 product."""
    return is_dense(part, _FLOAT8_ALIGNED, _FLOAT8_ALIGNED)


def _included(fits: Fits, module: torch.nn.Module, config: Excluding) -> Fits:
    """Return `fits` without the layers under `exclude`."""
    layers = dict(module.named_modules())
    check_excluded(config.exclude, layers)
    left = {part for name in config.exclude for part in layers[name].modules()}
    return lambda part: part not in left and fits(part)


def _build(
    recipe: Any,
    fits: Fits,
    config: Excluding,
    source: Artifact,
    out: Path,
    context: BuildContext,
    *,
    integer: bool = False,
) -> dict[str, Any]:
    """Quantize the layers that fit, compile, and report what the package's code calls."""
    module = torch_module.load_folded(source.folder)
    fits = _included(fits, module, config)
    module_counting.refuse_float(module, fits)
    made = _compile(module, recipe, fits, out, context)
    counted = compiled_counting.report(made, out / aoti.PACKAGE, integer=integer)
    return {**counted, "batch": context.target.batch, "threads": context.target.threads}


def _compile(
    module: torch.nn.Module,
    recipe: Any,
    fits: Fits,
    out: Path,
    context: BuildContext,
) -> CompiledGraph:
    """Quantize and compile; without freezing, which would unpack the weights and store them in float."""
    from torchao.quantization import quantize_

    with naming("torchao failed", layer_names(module)):
        quantize_(module, recipe, filter_fn=lambda part, _name: fits(part))
    with naming("torch cannot export the module", layer_names(module), remedy=""):
        return aoti.compile_module(
            module, context.inputs, context.target, out, seed=context.seed, freezing=False
        )
