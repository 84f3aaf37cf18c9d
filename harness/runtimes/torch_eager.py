"""torch-eager: PyTorch runs the module, or exported program, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.artifacts.artifact import Artifact
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.formats.torch import module as torch_module
from harness.formats.torch import program as torch_program
from harness.runtimes.registry import Call, RuntimeConfig, Session, runtime
from harness.runtimes.torch_calls import bind_module, set_threads

if TYPE_CHECKING:
    import torch


class TorchEager(RuntimeConfig):
    """Nothing to set: this is the reference."""


class EagerSession(Session):
    """A module in eval mode under `torch.inference_mode`."""

    def __init__(self, module: torch.nn.Module, device: str, fixed_batch: int | None) -> None:
        self.module = module
        self.device = device
        self.fixed_batch = fixed_batch

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call of the module on `inputs`."""
        return bind_module(self.module, inputs, self.device)


@runtime(
    "torch-eager",
    TorchEager,
    takes=(torch_module.FORMAT, torch_program.FORMAT),
    summary="PyTorch, operator by operator",
    imports=("torch",),
    packages=("torch",),
    devices=("cpu", "cuda"),
)
def open_session(_config: TorchEager, artifact: Artifact, target: Target) -> Session:
    """Load the module or program with its weights onto the device."""
    set_threads(target)
    module, fixed_batch = torch_program.load_runnable(artifact.format, artifact.folder, target.device)
    return EagerSession(module, target.device, fixed_batch)
