"""torchao: dense layers in int8, compiled ahead of time, so that a Trial needs no torchao."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.aoti.package import compile_module
from harness.formats.low_precision import aoti as compiled_counting
from harness.formats.low_precision.torch import refuse_float
from harness.formats.torch import module as torch_module
from harness.techniques.quantize.ranges import resolve_range, weights_in_words
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import torch

_INT4_ROWS = 16
"""Outputs that torch's int4 kernel for CPUs takes at once (aten::_weight_int4pack_mm_for_cpu)."""

_ABOUT: dict[str, Any] = {
    "takes": (torch_module.FORMAT,),
    "yields": aoti.FORMAT,
    "packages": ("torchao", "torch"),
    "extra": "torchao",
    "specialize_on": ("batch", "device", "threads", "machine"),
    "keeps": ("parameters", "nonzero_parameters", "flops_per_sample"),
}


class TorchaoDynamic(StepConfig):
    """Weights with a scale for each output channel, activations for each item, taken as they come."""

    method: Literal["torchao-dynamic"] = "torchao-dynamic"
    dtype: Literal["int8"] = "int8"
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights and activations; auto: where 16-bit sums could saturate"
    )


class TorchaoWeightOnly(StepConfig):
    """int8: a scale for each output channel; int4: for each `group_size` inputs. Arithmetic in float."""

    method: Literal["torchao-weight-only"] = "torchao-weight-only"
    dtype: Literal["int8", "int4"] = "int8"
    group_size: Literal[32, 64, 128] = Field(
        default=128,
        description="int4: weights that share a scale; dense layers that do not fit stay in float",
    )

    @model_validator(mode="after")
    def _only_what_counts(self) -> TorchaoWeightOnly:
        if self.dtype == "int8" and self.group_size != type(self).model_fields["group_size"].default:
            raise ValueError("group_size: for int4, not for int8")
        return self


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

    reduce = resolve_range(config, context.target, context.cpu_features)["reduce_range"]
    recipe = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False, reduce_range=reduce)
    details = _build(recipe, source, out, context, integers=True)
    weights = weights_in_words(config, reduce, context.target, context.cpu_features)
    compute_dtype = f"{details['compute_dtype']}; {weights}"
    return {**details, "reduced_range": reduce, "compute_dtype": compute_dtype}


@transform(
    "quantize",
    TorchaoWeightOnly,
    select=("method", "torchao-weight-only"),
    summary="int8 or int4 weights of dense layers, float arithmetic (torchao, for torch-compile)",
    **_ABOUT,
)
def quantize_weights(
    config: TorchaoWeightOnly, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers' weights and compile."""
    if config.dtype == "int4":
        if context.target.device != "cpu":
            raise BuildError("torchao's int4 is here for CPUs only")
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        four = PrototypeInt4WeightOnlyConfig(group_size=config.group_size)
        return _build(four, source, out, context, integers=False, group_size=config.group_size)
    from torchao.quantization import Int8WeightOnlyConfig

    return _build(Int8WeightOnlyConfig(set_inductor_config=False), source, out, context, integers=False)


def _build(
    recipe: Any,
    source: Artifact,
    out: Path,
    context: BuildContext,
    *,
    integers: bool,
    group_size: int | None = None,
) -> dict[str, Any]:
    import torch
    from torchao.quantization import quantize_

    def is_dense(part: torch.nn.Module) -> bool:
        if type(part) is not torch.nn.Linear:
            return False
        return group_size is None or not (part.in_features % group_size or part.out_features % _INT4_ROWS)

    module = torch_module.load_module(source.folder)
    refuse_float(module, is_dense)
    quantize_(module, recipe, filter_fn=lambda part, _name: is_dense(part))
    # Frozen, the weights would be unpacked to float and stored so.
    made = compile_module(module, context.inputs, context.target, out, seed=context.seed, freezing=False)
    counted = compiled_counting.report(made, out / aoti.PACKAGE)
    if integers and not counted["integer_operators"]:
        raise BuildError("nothing computes in integers: the compiler left every operator in float")
    return {**counted, "batch": context.target.batch, "threads": context.target.threads}
