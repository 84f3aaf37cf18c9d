"""torch-compile: machine code that TorchInductor compiled ahead of time; the Session only loads it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from harness.artifacts.artifact import Artifact
from harness.errors import WorkerError
from harness.formats.aoti import package as aoti
from harness.formats.target import Target
from harness.runtimes.registry import RuntimeConfig, Session, runtime
from harness.runtimes.torch_calls import TorchSession, set_threads, torch_snippet


class TorchCompile(RuntimeConfig):
    """Nothing to set at load time."""


_LINES = '''\
import torch


def load_package():
    """Open the compiled package, as `torch._inductor.aoti_load_package`, which imports the whole compiler."""
    package = torch._C._aoti.AOTIModelPackageLoader(str(FOLDER / "{file}"), "model", False, 1, {device})
    return lambda *tensors: package.run(list(tensors))
'''


def _snippet(_config: TorchCompile, _artifact: Artifact, target: Target) -> str:
    """Return lines that load and run the package."""
    lines = _LINES.format(file=aoti.PACKAGE, device=0 if target.device == "cuda" else -1)
    return torch_snippet(lines, "load_package()", target)


@runtime(
    "torch-compile",
    TorchCompile,
    takes=(aoti.FORMAT,),
    title="compiled PyTorch",
    summary="PyTorch compiled ahead of time by TorchInductor (AOTInductor)",
    imports=("torch",),
    packages=("torch",),
    devices=("cpu", "cuda"),
    snippet=_snippet,
)
def open_session(_config: TorchCompile, artifact: Artifact, target: Target) -> Session:
    """Load the package; nothing is compiled here."""
    set_threads(target)
    try:
        package = _load(str(artifact.file(aoti.PACKAGE)), target)
    except RuntimeError as error:
        if why := aoti.noexec(Path(tempfile.gettempdir())):
            raise WorkerError(
                f"compiled code cannot be loaded: {why}; set TMPDIR to another folder"
            ) from error
        raise
    return TorchSession(package, target.device, fixed_batch=target.batch)


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
