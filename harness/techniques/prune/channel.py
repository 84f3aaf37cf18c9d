"""Channel pruning: whole channels are removed, the network gets narrower (Torch-Pruning).

Which layers must shrink together follows from the graph (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023); the channels to go are those whose group has the smallest L2 norm.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import count_flops
from harness.techniques.finetuning import Finetune, finetune
from harness.techniques.registry import BuildContext, StepConfig, transform

if TYPE_CHECKING:
    import torch


class ChannelPrune(StepConfig):
    """`sparsity` is the share of channels removed from each layer; compute falls roughly by its square."""

    structure: Literal["channel"] = "channel"
    sparsity: float = Field(gt=0, lt=1, description="share of channels removed from each layer")
    round_to: int = Field(default=8, ge=1, description="channels left are a multiple of this, for SIMD")
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
    """Remove channels, fine-tune, save the narrower module."""
    import torch_pruning as tp

    module = torch_module.load_module(source.folder).requires_grad_(True)
    example = example_tensors(context.inputs, 2, context.seed)
    before = module(*example)
    pruner = tp.pruner.BasePruner(
        module,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=config.sparsity,
        ignored_layers=output_layers(module, example),
        round_to=config.round_to,
    )
    flops_before = count_flops(module, example)
    pruner.step()
    try:
        after = module(*example)
    except RuntimeError as error:  # widths that the code counts on, as attention's heads are
        raise BuildError(
            "channel pruning does not fit this model: its code counts on the widths that were pruned "
            f"(attention heads, say): {str(error).splitlines()[0]}"
        ) from error
    flops_after = count_flops(module, example)
    if output_shapes(after) != output_shapes(before):
        raise BuildError("channel pruning changed the shape of the model's output: it cannot be used here")
    if flops_after >= flops_before:
        raise BuildError(
            f"channel pruning removed nothing (sparsity {config.sparsity}, round_to {config.round_to}): "
            "raise sparsity or lower round_to"
        )
    finetune(module, config.finetune, context, keep_zeros=False)
    torch_module.save_changed(module, source.folder, out)
    return {"flops_left_share": flops_after / flops_before, "channels_left": layer_widths(module)}


def output_layers(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> list[torch.nn.Module]:
    """Layers whose output is the model's output (their width is the task's), else the last with weights."""
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
    """What a module returned, as a tuple."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def output_shapes(result: Any) -> list[tuple[int, ...]]:
    """Shapes of what a module returned."""
    return [tuple(tensor.shape) for tensor in outputs(result)]


def layer_widths(module: torch.nn.Module) -> dict[str, int]:
    """Output channels or features of each convolution and dense layer."""
    widths = {}
    for name, part in module.named_modules():
        width = getattr(part, "out_channels", getattr(part, "out_features", None))
        if isinstance(width, int):
            widths[name] = width
    return widths
