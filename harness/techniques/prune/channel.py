"""Channel pruning: whole channels are removed, so that the network gets narrower (Torch-Pruning).

The graph determines which layers must shrink together (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023); the channels whose group has the smallest L2 norm are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, first_line
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import count_flops
from harness.techniques.finetuning import Finetune, finetune
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import torch


class ChannelPrune(StepConfig):
    """Compute falls roughly to (1 − `pruning_ratio`)²: a layer has fewer input and fewer output channels."""

    structure: Literal["channel"] = "channel"
    pruning_ratio: float = Field(gt=0, lt=1, description="share of channels removed from each layer")
    round_to: int = Field(
        default=8, ge=1, description="the remaining channels are a multiple of this, for SIMD"
    )
    finetune: Finetune = Finetune()


@transform(
    "prune",
    ChannelPrune,
    select=("structure", "channel"),
    takes=(torch_module.FORMAT,),
    yields=torch_module.FORMAT,
    summary="remove whole channels by group L2 norm (Torch-Pruning), then fine-tune",
    packages=("torch", "torch-pruning"),
    needs_training_data=lambda config: config.finetune.epochs > 0,
)
def prune_channels(
    config: ChannelPrune, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Remove channels, fine-tune, and save the narrower module."""
    import torch_pruning as tp

    module = torch_module.load_folded(source.folder).requires_grad_(True)
    example = example_tensors(context.inputs, 2, context.seed)
    before = module(*example)
    pruner = tp.pruner.BasePruner(
        module,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=config.pruning_ratio,
        ignored_layers=output_layers(module, example),
        round_to=config.round_to,
    )
    flops_before = count_flops(module, example)
    pruner.step()
    try:
        after = module(*example)
    except Exception as error:  # a module may raise anything where its code relies on fixed widths
        raise BuildError(
            "channel pruning does not fit this model: its code relies on the widths that were pruned "
            f"(attention heads, for example): {first_line(error)}"
        ) from error
    flops_after = count_flops(module, example)
    if output_shapes(after) != output_shapes(before):
        raise BuildError("channel pruning does not fit this model: it changed the shape of the output")
    if flops_after >= flops_before:
        raise BuildError(
            f"channel pruning removed nothing (pruning_ratio {config.pruning_ratio}, "
            f"round_to {config.round_to}): raise pruning_ratio or lower round_to"
        )
    finetune(module, config.finetune, context, keep_zeros=False)
    torch_module.save_changed(module, source.folder, out)
    return {"flops_left_share": flops_after / flops_before, "channels_left": layer_widths(module)}


def output_layers(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> list[torch.nn.Module]:
    """Return the layers that compute the model's outputs, whose width the task fixes; else the last."""
    seen: list[tuple[torch.nn.Module, torch.Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda layer, _, result: seen.append((layer, result)))
        for part in module.modules()
        if not list(part.children()) and list(part.parameters(recurse=False))
    ]
    result = module(*example)
    for hook in hooks:
        hook.remove()
    results = outputs(result)
    found = [layer for layer, own in seen if any(own is one for one in results)]
    return found or [layer for layer, _ in seen[-1:]]


def outputs(result: Any) -> tuple[torch.Tensor, ...]:
    """Return the result of a module as a tuple."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def output_shapes(result: Any) -> list[tuple[int, ...]]:
    """Return the shapes of the outputs of a module."""
    return [tuple(tensor.shape) for tensor in outputs(result)]


def layer_widths(module: torch.nn.Module) -> dict[str, int]:
    """Return the output channels or features of each convolution and dense layer."""
    widths = {}
    for name, part in module.named_modules():
        width = getattr(part, "out_channels", getattr(part, "out_features", None))
        if isinstance(width, int):
            widths[name] = width
    return widths
