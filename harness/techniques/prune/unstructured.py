"""Unstructured magnitude pruning: the smallest weights become zero, shapes do not change.

A dense kernel multiplies zeros like other values, so a dense runtime gets no faster; only the compressed size
falls (Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015). The
Record has it as `artifact_zstd_bytes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import multiplied_weights
from harness.techniques.finetuning import Finetune, finetune
from harness.techniques.registry import BuildContext, StepConfig, transform


class MagnitudePrune(StepConfig):
    """Zeros are chosen over all weights that are multiplied, of all layers together."""

    structure: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(gt=0, lt=1, description="share of weights set to zero, over all layers together")
    finetune: Finetune = Finetune()


@transform(
    "prune",
    MagnitudePrune,
    select=("structure", "unstructured"),
    takes=(torch_module.FORMAT,),
    yields=torch_module.FORMAT,
    summary="set the globally smallest weights to zero, then fine-tune the others",
    packages=("torch",),
    needs_training_data=lambda config: config.finetune.epochs > 0,
)
def prune_magnitude(
    config: MagnitudePrune, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Zero the weights below the global threshold, fine-tune, and save the module of unchanged shape."""
    import torch

    module = torch_module.load_folded(source.folder)
    weights = multiplied_weights(module, example_tensors(context.inputs, 2, context.seed))
    if not weights:
        raise BuildError("unstructured pruning found no weights of matrix products or convolutions")
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    count = int(config.sparsity * magnitudes.numel())
    if count == 0:
        raise BuildError(
            f"sparsity {config.sparsity} of {magnitudes.numel()} weights is less than one weight"
        )
    keep = torch.ones_like(magnitudes)
    keep[magnitudes.topk(count, largest=False).indices] = 0
    end = 0
    with torch.no_grad():
        for weight in weights.values():
            start, end = end, end + weight.numel()
            weight.mul_(keep[start:end].view_as(weight))
    finetune(module, config.finetune, context, keep_zeros=True)
    torch_module.save_changed(module, source.folder, out)
    zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
    return {
        "sparsity": sum(zeros.values()) / magnitudes.numel(),
        "zero_share": {name: round(zeros[name] / weight.numel(), 4) for name, weight in weights.items()},
    }
