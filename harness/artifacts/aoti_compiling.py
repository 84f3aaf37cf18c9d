"""Compiling a module ahead of time by TorchInductor into the form ``aoti``. Torch is imported inside."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts import aoti
from harness.artifacts.aoti_graph import CompiledGraph, watch
from harness.artifacts.exporting import example_tensors, quiet_exporter
from harness.artifacts.targets import Target
from harness.artifacts.tensors import TensorSpec
from harness.errors import BuildError

if TYPE_CHECKING:
    import torch


def compile_module(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    target: Target,
    folder: Path,
    *,
    seed: int,
    freezing: bool,
) -> CompiledGraph:
    """Export `module` for the target's batch, write its package into `folder`, return what its code calls.

    With `freezing`, what can be computed from the weights alone is computed now; low-precision weights would
    be unpacked by it.
    """
    import torch

    placed = module.to(target.device)
    example = tuple(t.to(target.device) for t in example_tensors(inputs, target.batch, seed))
    with compiling(target):
        return package(torch.export.export(placed, example), folder, freezing=freezing)


def package(exported: Any, folder: Path, **settings: Any) -> CompiledGraph:
    """Compile an exported program into `folder`, with Inductor's `settings`; return what its code calls."""
    from torch._inductor import aoti_compile_and_package

    note, seen = watch()
    configs = {**settings, "post_grad_custom_post_pass": note}
    aoti_compile_and_package(exported, package_path=str(folder / aoti.PACKAGE), inductor_configs=configs)
    return seen


@contextlib.contextmanager
def compiling(target: Target) -> Iterator[None]:
    """Compile for the thread budget, without gradients, progress lines and warnings.

    Raises BuildError where torch itself lies in a path with a space.
    """
    import torch

    if aoti.has_space(home := Path(torch.__file__).parent):
        raise BuildError(
            f"torch lies in {home}, and TorchInductor cannot compile from a path with a space: "
            "make the environment elsewhere (make VENV=/path/without/space)"
        )
    before = torch.get_num_threads()
    torch.set_num_threads(target.threads)  # Inductor writes the thread count into the code
    try:
        with quiet_exporter(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)
