"""torchao: dense layers in int8, compiled ahead of time, so that a Trial needs no torchao."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.artifacts import aoti, torch_module
from harness.artifacts.aoti_compiling import compile_module
from harness.artifacts.artifact import Artifact
from harness.techniques.quantize.module_counting import report
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import torch

_ABOUT: dict[str, Any] = {
    "takes": (torch_module.FORM,),
    "yields": aoti.FORM,
    "packages": ("torchao", "torch"),
    "extra": "torchao",
    "specialises": ("batch", "device", "threads", "machine"),
    "keeps": ("parameters", "nonzero_parameters", "flops_per_item"),
}


class TorchaoDynamic(StepConfig):
    """Weights with a scale for each output channel, activations for each item, taken as they come."""

    method: Literal["torchao-dynamic"] = "torchao-dynamic"
    dtype: Literal["int8"] = "int8"


class TorchaoWeightOnly(StepConfig):
    """Weights with a scale for each output channel; arithmetic in float."""

    method: Literal["torchao-weight-only"] = "torchao-weight-only"
    dtype: Literal["int8"] = "int8"


@transform(
    "quantize",
    TorchaoDynamic,
    select=("method", "torchao-dynamic"),
    summary="int8 dense layers, activations quantized at run time (torchao, for torch-compile)",
    **_ABOUT,
)
def quantize_dynamic(
    _config: TorchaoDynamic, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers and compile."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return _build(Int8DynamicActivationInt8WeightConfig(), source, out, context, integers=True)


@transform(
    "quantize",
    TorchaoWeightOnly,
    select=("method", "torchao-weight-only"),
    summary="int8 weights of dense layers, float arithmetic (torchao, for torch-compile)",
    **_ABOUT,
)
def quantize_weights(
    _config: TorchaoWeightOnly, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers' weights and compile."""
    from torchao.quantization import Int8WeightOnlyConfig

    return _build(Int8WeightOnlyConfig(), source, out, context, integers=False)


def _build(
    recipe: Any, source: Artifact, out: Path, context: BuildContext, *, integers: bool
) -> dict[str, Any]:
    import torch
    from torchao.quantization import quantize_

    def is_dense(part: torch.nn.Module) -> bool:
        return type(part) is torch.nn.Linear

    module = torch_module.load_module(source.folder)
    details = report(module, context.inputs, is_dense, integers=integers)
    quantize_(module, recipe, filter_fn=lambda part, _name: is_dense(part))
    # Frozen, the weights would be unpacked to float and stored so.
    compile_module(module, context.inputs, context.target, out, seed=context.seed, freezing=False)
    return {**details, "batch": context.target.batch, "threads": context.target.threads}
