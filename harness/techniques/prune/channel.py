"""Channel pruning: whole channels are removed, so that the network gets narrower (Torch-Pruning).

The graph determines which layers must shrink together (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023); the channels whose group has the smallest L2 norm are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.formats.torch.failures import layer_names
from harness.formats.torch.work import count_flops
from harness.techniques.blame import Excluding, check_excluded, naming
from harness.techniques.finetuning import Finetune, finetune
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import torch


class ChannelPrune(Excluding):
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
    module = torch_module.load_folded(source.folder).requires_grad_(True)
    example = example_tensors(context.inputs, 2, context.seed)
    before, flops_before = module(*example), count_flops(module, example)
    name = layer_names(module)
    with naming("channel pruning does not fit this model: Torch-Pruning failed", name):
        _prune(module, example, config)
    with naming(
        "channel pruning does not fit this model: its code relies on widths that were pruned (attention "
        "heads, groups)",
        name,
        "name the layer before it under exclude to keep its width",
    ):
        after = module(*example)
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


def _prune(module: torch.nn.Module, example: tuple[torch.Tensor, ...], config: ChannelPrune) -> None:
    """Remove channels in place, but none of outputs, of torch's attention, and of layers under `exclude`.

    `nn.MultiheadAttention` checks its width against a number that Torch-Pruning does not change.
    """
    import torch
    import torch_pruning as tp

    layers = dict(module.named_modules())
    check_excluded(config.exclude, layers)
    attention = [layer for layer in layers.values() if isinstance(layer, torch.nn.MultiheadAttention)]
    kept = [*output_layers(module, example), *attention, *(layers[name] for name in config.exclude)]
    tp.pruner.BasePruner(
        module,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=config.pruning_ratio,
        ignored_layers=kept,
        round_to=config.round_to,
        output_transform=outputs,  # it takes no None
    ).step()


def output_layers(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> list[torch.nn.Module]:
    """Return the layers from which the model's outputs come, whose width the task fixes; else the last.

    Activations, sums and other operators without weights may stand behind them: autograd's graph is followed
    from each output to the first layers with weights.
    """
    import torch

    made: dict[Any, torch.nn.Module] = {}
    last: list[torch.nn.Module] = []

    def note(layer: torch.nn.Module, _: Any, result: Any) -> None:
        last[:] = [layer]
        made.update({tensor.grad_fn: layer for tensor in outputs(result) if tensor.grad_fn is not None})

    own = [
        part
        for part in module.modules()
        if not list(part.children())
        or isinstance(part, torch.nn.MultiheadAttention)  # whose child is not called
        if list(part.parameters(recurse=False))
    ]
    hooks = [part.register_forward_hook(note) for part in own]
    module.requires_grad_(True)
    with torch.enable_grad():
        result = module(*example)
    for hook in hooks:
        hook.remove()
    found: dict[torch.nn.Module, None] = {}
    seen: set[Any] = set()
    left = [tensor.grad_fn for tensor in outputs(result)]
    while left:
        function = left.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        if function in made:
            found[made[function]] = None
        else:
            left += [before for before, _ in function.next_functions]
    return [part for part in own if part in found] or last


def outputs(result: Any) -> list[torch.Tensor]:
    """Return the tensors in the result of a module."""
    import torch
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]


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
