"""torch-module → aoti: compiled ahead of time by TorchInductor, so that a Trial only loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.formats.aoti import package as aoti
from harness.formats.aoti.package import compile_module
from harness.formats.low_precision.aoti import report
from harness.formats.torch import module as torch_module
from harness.techniques.registry import BuildContext, StepConfig, conversion


class CompileAheadOfTime(StepConfig):
    """How TorchInductor compiles."""

    freezing: bool = True


@conversion(
    "compile-aoti",
    CompileAheadOfTime,
    takes=torch_module.FORMAT,
    yields=aoti.FORMAT,
    summary="compile for one batch, device and thread budget with AOTInductor",
    packages=("torch",),
    specialize_on=("batch", "device", "threads", "machine"),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample", *TRAFFIC),
)
def compile_aoti(
    config: CompileAheadOfTime, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Export for the target's batch and compile into a package that holds code and weights."""
    target = context.target
    module = torch_module.load_module(source.folder)
    made = compile_module(module, context.inputs, target, out, seed=context.seed, freezing=config.freezing)
    counted = report(made, out / aoti.PACKAGE) if source.lowered else {}
    return {**counted, "batch": target.batch, "threads": target.threads}
