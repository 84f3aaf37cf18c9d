"""torchao: dense layers in float8 (e4m3), on GPUs that multiply it, compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.aoti import package as aoti
from harness.formats.aoti.package import compile_module
from harness.formats.low_precision.torch import report
from harness.formats.torch import module as torch_module
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import torch

_ALIGNED = 16
"""What both sides of a weight must be a multiple of (torch._scaled_mm)."""


class TorchaoFloat8(StepConfig):
    """One scale for each weight and, with float8 activations, for each batch of them as they come."""

    method: Literal["torchao-fp8"] = "torchao-fp8"
    activations: Literal["fp8", "float"] = Field(
        default="fp8", description="float: weights are unpacked, arithmetic stays in float"
    )


@transform(
    "quantize",
    TorchaoFloat8,
    select=("method", "torchao-fp8"),
    takes=(torch_module.FORMAT,),
    yields=aoti.FORMAT,
    summary="float8 dense layers on GPUs of compute capability 8.9 or newer (torchao, for torch-compile)",
    packages=("torchao", "torch"),
    extra="torchao",
    devices=("cuda",),
    cuda_capability=(8, 9),
    specialize_on=("batch", "device", "threads", "machine"),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
)
def quantize_float8(
    config: TorchaoFloat8, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Quantize the dense layers that fit on the GPU, and compile."""
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        Float8WeightOnlyConfig,
        quantize_,
    )

    computed = config.activations == "fp8"
    kind = Float8DynamicActivationFloat8WeightConfig if computed else Float8WeightOnlyConfig
    module = torch_module.load_module(source.folder)
    details = report(module, context.inputs, fits, integers=computed)
    quantize_(
        module.to(context.target.device),
        kind(set_inductor_config=False),
        filter_fn=lambda part, _name: fits(part),
    )
    compile_module(module, context.inputs, context.target, out, seed=context.seed, freezing=False)
    return {
        **details,
        "integer_operators": {},
        "float8_operators": details["integer_operators"],
        "batch": context.target.batch,
        "threads": context.target.threads,
    }


def fits(part: torch.nn.Module) -> bool:
    """Whether a module is a dense layer whose sides the float8 product takes."""
    import torch

    return type(part) is torch.nn.Linear and not (part.in_features % _ALIGNED or part.out_features % _ALIGNED)
