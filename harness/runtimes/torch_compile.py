"""torch-compile: machine code that TorchInductor compiled ahead of time; the Session only loads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from harness.artifacts.artifact import Artifact
from harness.formats.aoti import package as aoti
from harness.formats.target import Target
from harness.formats.tensors import Array
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
    takes=(aoti.FORMAT,),
    summary="PyTorch compiled ahead of time by TorchInductor (AOTInductor)",
    imports=("torch",),
    packages=("torch",),
    devices=("cpu", "cuda"),
)
def open_session(_config: TorchCompile, artifact: Artifact, target: Target) -> Session:
    """Load the package; nothing is compiled here."""
    set_threads(target)
    return CompiledSession(_load(str(artifact.file(aoti.PACKAGE)), target), target)


def _load(package: str, target: Target) -> Callable[..., Any]:
    """Open the package with the loader that deployments in C++ use.

    `torch._inductor.aoti_load_package` wraps the same loader but imports the whole compiler, which takes
    seconds and a hundred megabytes that running the model does not need. It is used where this torch has no
    such loader.
    """
    import torch

    try:
        loader = torch._C._aoti.AOTIModelPackageLoader(
            package, "model", False, 1, 0 if target.device == "cuda" else -1
        )
    except (AttributeError, TypeError):
        from torch._inductor import aoti_load_package

        return cast(Callable[..., Any], aoti_load_package(package))
    return lambda *tensors: loader.run(list(tensors))
