"""torch-module, torch-program → aoti: compiled ahead of time by TorchInductor, so that a Trial only loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.low_precision.aoti import report
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.formats.torch import program as torch_program
from harness.formats.torch.folding import fold_weights
from harness.techniques.registry import BuildContext, StepConfig, conversion

_ABOUT: dict[str, Any] = {
    "yields": aoti.FORMAT,
    "summary": "compile for one batch, device and thread budget with AOTInductor",
    "packages": ("torch",),
    "specialize_on": ("batch", "device", "threads", "machine"),
    "keeps": (*COUNTS, *TRAFFIC),
}


@conversion("compile-aoti", takes=torch_module.FORMAT, **_ABOUT)
@conversion("compile-program", takes=torch_program.FORMAT, **_ABOUT)
def compile_aoti(_config: StepConfig, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Export for the target's batch and compile into a package that holds code and weights."""
    target = context.target
    module, batch = torch_program.load_runnable(source.format, source.folder, target.device)
    if batch not in (None, target.batch):
        raise BuildError(f"the program has a fixed batch of {batch}; the workload's is {target.batch}")
    made = aoti.compile_module(
        fold_weights(module), context.inputs, target, out, seed=context.seed, freezing=True
    )
    counted = report(made, out / aoti.PACKAGE) if source.lowered else {}
    return {**counted, "batch": target.batch, "threads": target.threads}
