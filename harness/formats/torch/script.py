"""The format ``torch-script``: a TorchScript archive, as `torch.jit.save` writes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from harness.formats.registry import FORMATS, Format
from harness.formats.torch.examine import examine_file
from harness.formats.torch.lines import script_lines
from harness.formats.torch.work import count_module

FORMAT = "torch-script"
SCRIPT = "model.pt"


def load_file(path: Path, device: str = "cpu") -> Any:
    """Load an archive in eval mode. A frozen module has no mode, and stays as it is."""
    import torch

    module: Any = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    if hasattr(module, "training"):
        module.eval()
    return module


def store(path: Path, folder: Path) -> None:
    """Copy an archive into `folder`."""
    shutil.copyfile(path, folder / SCRIPT)


FORMATS.add(
    FORMAT,
    Format(
        FORMAT,
        "TorchScript archive: code and weights",
        lambda folder, inputs: count_module(load_file(folder / SCRIPT), inputs),
        examine=lambda folder, inputs: examine_file(load_file(folder / SCRIPT), inputs),
        runnable=lambda folder, device: (load_file(folder / SCRIPT, device), None),
        torch_lines=script_lines,
    ),
)
