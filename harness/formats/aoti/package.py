"""The format ``aoti``: machine code and weights, compiled by TorchInductor for one batch and budget."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.formats.aoti.graph import CompiledGraph, watch
from harness.formats.registry import FORMATS, Format
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import example_tensors, quiet_exporter
from harness.formats.torch.failures import exporting
from harness.formats.torch.outputs import flat_outputs

if TYPE_CHECKING:
    import torch

FORMAT = "aoti"
PACKAGE = "model.pt2"
CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""The environment variable with the folder, which must exist, of TorchInductor's cache."""


def has_space(path: Path) -> bool:
    """Whether a path has a space."""
    return any(character.isspace() for character in str(path))


def unfit(folder: Path) -> str | None:
    """Return why TorchInductor cannot compile in a folder, or None.

    It passes paths to the C++ compiler unquoted, and loads what it has compiled, to test the processor.
    """
    if has_space(folder):
        return f"the path {folder} has a space"
    return noexec(folder)


def noexec(folder: Path) -> str | None:
    """Return that compiled code cannot be loaded from a folder, or None."""
    with contextlib.suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return f"{folder} is on a disk mounted with noexec"
    return None


def scratch(cache: Path) -> Path:
    """Return a folder for TorchInductor's cache: `cache`, or a temporary one where that is unfit."""
    cache.mkdir(parents=True, exist_ok=True)
    if not unfit(cache):
        return cache
    usual = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    fit = (place for place in usual if os.access(place, os.W_OK) and not unfit(place))
    place = next((place / f"torchinductor-{os.getuid()}" for place in fit), cache)
    place.mkdir(exist_ok=True)
    return place


def prepare() -> None:
    """Load TorchInductor, and let it compile and run its tests of the processor's vector instructions.

    The first compilation in a process would do this. It takes about as long as that compilation where the
    results are not in TorchInductor's cache, and a third of that where they are.
    """
    from torch._inductor import compile_fx, cpu_vec_isa  # noqa: F401

    cpu_vec_isa.pick_vec_isa()


FORMATS.add(
    FORMAT, Format(FORMAT, "AOTInductor package: machine code and weights for one batch", prepare=prepare)
)


def compile_module(
    module: torch.nn.Module,
    inputs: tuple[TensorSpec, ...],
    target: Target,
    folder: Path,
    *,
    seed: int,
    freezing: bool,
) -> CompiledGraph:
    """Export `module` for the target's batch and write its package into `folder`; return what its code calls.

    `freezing` computes now what depends on weights alone, which unpacks low-precision weights to float.
    """
    import torch

    placed = module.to(target.device)
    example = tuple(t.to(target.device) for t in example_tensors(inputs, target.batch, seed))
    with compiling(target), flat_outputs(placed):
        with exporting("torch cannot export the module", module):
            program = torch.export.export(placed, example)
        return package(program, folder, freezing=freezing)


def package(exported: Any, folder: Path, **settings: Any) -> CompiledGraph:
    """Compile an exported program into `folder`, with Inductor's `settings`; return what its code calls."""
    from torch._inductor import aoti_compile_and_package

    record, seen = watch()
    configs = {**settings, "post_grad_custom_post_pass": record}
    aoti_compile_and_package(exported, package_path=str(folder / PACKAGE), inductor_configs=configs)
    return seen


@contextlib.contextmanager
def compiling(target: Target) -> Iterator[None]:
    """Compile with the thread budget, without gradients, progress lines and warnings.

    TorchInductor starts with an empty cache, so that build times do not depend on earlier builds. Raises
    BuildError where it cannot compile in the place where torch is installed, or where temporary files are.
    """
    import torch._inductor
    from torch._inductor.utils import fresh_cache

    if has_space(home := Path(torch.__file__).parent):
        raise BuildError(
            f"torch is installed in {home}, and TorchInductor cannot compile from a path with a space: "
            "create the environment elsewhere (make VENV=/path/without/space)"
        )
    temporary = Path(tempfile.gettempdir())  # the compiler writes there, and packages are unpacked there
    if why := unfit(Path(os.environ.get(CACHE) or temporary)) or unfit(temporary):
        raise BuildError(f"TorchInductor cannot compile here: {why}; set TMPDIR to another folder")
    # Inductor writes the number of threads into the code: else torch's, which the model's code may have set.
    budget = torch._inductor.config.patch({"cpp.threads": target.threads})
    with fresh_cache(dir=os.environ.get(CACHE)), budget, quiet_exporter(), torch.no_grad():
        yield
