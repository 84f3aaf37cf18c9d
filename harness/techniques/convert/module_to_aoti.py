"""torch-module → aoti: compiled ahead of time by TorchInductor, so that a Trial only loads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from harness.artifacts import aoti, torch_module
from harness.artifacts.artifact import Artifact
from harness.artifacts.exporting import example_tensors, quiet_exporter
from harness.techniques.registry import BuildContext, StepConfig, conversion


class CompileAheadOfTime(StepConfig):
    """How TorchInductor compiles."""

    freezing: bool = True


@conversion(
    "compile-aoti",
    CompileAheadOfTime,
    takes=torch_module.FORM,
    yields=aoti.FORM,
    summary="compile for one batch, device and thread budget with AOTInductor",
    packages=("torch",),
    specialises=("batch", "device", "threads", "machine"),
    keeps=("parameters", "nonzero_parameters", "flops_per_item"),
)
def compile_aoti(
    config: CompileAheadOfTime, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Export for the target's batch and compile into a package that holds code and weights."""
    import torch
    from torch._inductor import aoti_compile_and_package

    target = context.target
    module = torch_module.load_module(source.folder).to(target.device)
    example = tuple(t.to(target.device) for t in example_tensors(context.inputs, target.batch, context.seed))
    before = torch.get_num_threads()
    torch.set_num_threads(target.threads)  # Inductor writes the thread count into the code
    try:
        with quiet_exporter(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, example)
            aoti_compile_and_package(
                exported,
                package_path=str(out / aoti.PACKAGE),
                inductor_configs={"freezing": config.freezing},
            )
    finally:
        torch.set_num_threads(before)
    return {"batch": target.batch, "threads": target.threads}
