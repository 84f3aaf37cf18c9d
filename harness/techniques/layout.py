"""Memory layout of images in PyTorch modules: channels last, as vectorised convolutions read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.aoti import package as aoti
from harness.formats.torch import module as torch_module
from harness.formats.torch.execution import CHANNELS_LAST
from harness.techniques.registry import BuildContext, StepConfig, transform


class ChannelsLast(StepConfig):
    """Height, width, channels instead of channels, height, width; shapes as seen by the model stay."""

    format: Literal["channels-last"] = "channels-last"


@transform(
    "layout",
    ChannelsLast,
    select=("format", "channels-last"),
    takes=(torch_module.FORMAT,),
    yields=torch_module.FORMAT,
    summary="convolutions of a PyTorch module on channels-last memory",
    packages=("torch",),
    shows_in=(torch_module.FORMAT, aoti.FORMAT),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
)
def channels_last(_: ChannelsLast, source: Artifact, out: Path, _context: BuildContext) -> dict[str, Any]:
    """Note the layout, which is put in place whenever the module is loaded."""
    import torch

    module = torch_module.load_module(source.folder)
    count = sum(isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) for part in module.modules())
    if not count:
        raise BuildError("nothing to lay out: the module has no 2-D convolution")
    torch_module.save_changed(module, source.folder, out, layout=CHANNELS_LAST)
    return {"channels_last_convolutions": count}
