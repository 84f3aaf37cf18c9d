"""Memory layout of images in PyTorch modules: channels last, the order that vectorized convolutions read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.formats.torch import program as torch_program
from harness.formats.torch.execution import CHANNELS_LAST
from harness.techniques.registry import BuildContext, StepConfig, transform


class ChannelsLast(StepConfig):
    """Memory order height, width, channels; the shapes that the model sees do not change."""

    format: Literal["channels-last"] = "channels-last"


@transform(
    "layout",
    ChannelsLast,
    select=("format", "channels-last"),
    takes=(torch_module.FORMAT,),
    yields=torch_module.FORMAT,
    summary="channels-last memory layout for the convolutions of a PyTorch module",
    packages=("torch",),
    shows_in=(torch_module.FORMAT, torch_program.FORMAT, aoti.FORMAT),
    keeps=COUNTS,
)
def channels_last(_: ChannelsLast, source: Artifact, out: Path, _context: BuildContext) -> dict[str, Any]:
    """Store the layout, which is applied whenever the module is loaded."""
    import torch

    module = torch_module.load_module(source.folder)
    count = sum(isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) for part in module.modules())
    if not count:
        raise BuildError("layout does nothing here: the module has no 2-D convolution")
    torch_module.save_changed(module, source.folder, out, layout=CHANNELS_LAST)
    return {"channels_last_convolutions": count}
