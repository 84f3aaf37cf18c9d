"""torch-compile: TorchInductor's machine code, compiled ahead of time; the Session only loads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.artifacts import aoti
from harness.artifacts.artifact import Artifact
from harness.artifacts.targets import Target
from harness.artifacts.tensors import Array
from harness.runtimes.registry import Call, RuntimeConfig, Session, runtime
from harness.runtimes.torch_calls import bind_module, set_threads


class TorchCompile(RuntimeConfig):
    """Nothing to set at load time."""


class CompiledSession(Session):
    """An AOTInductor package for one batch."""

    def __init__(self, package: Any, target: Target) -> None:
        self.package = package
        self.device = target.device
        self.fixed_batch = target.batch

    def bind(self, inputs: Sequence[Array]) -> Call:
        """Return a call of the compiled model on `inputs`."""
        return bind_module(self.package, inputs, self.device)


@runtime(
    "torch-compile",
    TorchCompile,
    takes=(aoti.FORM,),
    summary="PyTorch compiled ahead of time by TorchInductor (AOTInductor)",
    imports=("torch",),
    packages=("torch",),
    devices=("cpu", "cuda"),
)
def open_session(_config: TorchCompile, artifact: Artifact, target: Target) -> Session:
    """Load the package; nothing is compiled here."""
    from torch._inductor import aoti_load_package

    set_threads(target)
    return CompiledSession(aoti_load_package(str(artifact.file(aoti.PACKAGE))), target)
