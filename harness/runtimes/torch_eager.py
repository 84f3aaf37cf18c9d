"""torch-eager: PyTorch runs the module, or exported program, operator by operator."""

from __future__ import annotations

from harness.artifacts.artifact import Artifact
from harness.errors import HarnessError
from harness.formats.registry import FORMATS
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.formats.torch import program as torch_program
from harness.formats.torch import script as torch_script
from harness.runtimes.registry import RuntimeConfig, Session, runtime
from harness.runtimes.torch_calls import TorchSession, set_threads, torch_snippet


class TorchEager(RuntimeConfig):
    """Nothing to set: this is the reference."""


def _snippet(_config: TorchEager, artifact: Artifact, target: Target) -> str:
    """Return lines that load and run the module or program. Raises HarnessError for another format."""
    lines = FORMATS.get(artifact.format).torch_lines
    if lines is None:
        raise HarnessError(f"the format {artifact.format} has no lines of Python that load it with PyTorch")
    return torch_snippet(lines(artifact.folder, target.device), "load_module()", target)


@runtime(
    "torch-eager",
    TorchEager,
    takes=(torch_module.FORMAT, torch_program.FORMAT, torch_script.FORMAT),
    title="eager PyTorch",
    summary="PyTorch, operator by operator",
    imports=("torch",),
    packages=("torch",),
    devices=("cpu", "cuda"),
    any_batch=True,
    snippet=_snippet,
)
def open_session(_config: TorchEager, artifact: Artifact, target: Target) -> Session:
    """Load the module, program or script with its weights onto the device."""
    set_threads(target)
    module, fixed_batch = torch_program.load_runnable(artifact.format, artifact.folder, target.device)
    set_threads(target)  # the model's code may have changed it when it was imported or called
    return TorchSession(module, target.device, fixed_batch)
