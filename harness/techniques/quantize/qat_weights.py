"""Quantization-aware training for int2 and int4 weights: dense layers rounded in ONNX Runtime's blocks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.techniques.convert.export import exported_copy
from harness.techniques.finetuning import Training, train
from harness.techniques.quantize.ort_weight_only import BITS, WeightOnlyQuantize, quantize_weight_only
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import torch


class QatWeights(Training):
    """Dense layers are trained with rounded weights, activations stay in float; blocks are symmetric."""

    method: Literal["qat-weights"] = "qat-weights"
    dtype: Literal["int2", "int4"] = "int4"
    block_size: Literal[16, 32, 64, 128, 256] = Field(
        default=32, description="weights along the depth of a product that share a scale"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="peak of a one-cycle schedule")


@transform(
    "quantize",
    QatWeights,
    select=("method", "qat-weights"),
    takes=(torch_module.FORMAT,),
    yields=onnx_graph.FORMAT,
    summary="int2 or int4 weights by quantization-aware training, activations in float (ONNX Runtime)",
    packages=("torch", "onnx", "onnxscript", "onnxruntime", "onnx-ir"),
    devices=("cpu",),
    keeps=COUNTS,
    needs_training_data=lambda _config: True,
)
def train_weights(config: QatWeights, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Train, export and quantize; report as the weight-only step does."""
    module = torch_module.load_folded(source.folder)
    losses = train_rounded(module, BITS[config.dtype], config.block_size, config, context)
    with tempfile.TemporaryDirectory() as folder:
        graph = exported_copy(module, source, Path(folder), context)
        weight_only = WeightOnlyQuantize(dtype=config.dtype, block_size=config.block_size)
        details = quantize_weight_only(weight_only, graph, out, context)
    return {**details, "epochs": config.epochs, "training_losses": losses}


def train_rounded(
    module: torch.nn.Module, bits: int, block: int, config: Training, context: BuildContext
) -> list[float]:
    """Train `module` in place, the weights of its dense layers rounded; return each epoch's loss (nats).

    The backward pass ignores the rounding (the straight-through estimator: Bengio et al., "Estimating or
    Propagating Gradients Through Stochastic Neurons", 2013). The module keeps its float weights, which the
    weight-only step rounds in the same way: an embedding that is tied to a head is never rounded. Weights
    that pruning set to zero stay zero.
    """
    import torch
    from torch.nn.utils import parametrize

    class Rounded(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight + (rounded(weight, bits, block) - weight).detach()

    module.requires_grad_(True)
    layers = [part for part in module.modules() if type(part) is torch.nn.Linear]
    if not layers:
        raise BuildError("nothing would be quantized: the module has no dense layer")
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Rounded())
    losses = train(module, config, context, keep_zeros=True)
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    module.requires_grad_(False).eval()
    return losses


def rounded(weight: torch.Tensor, bits: int, block: int) -> torch.Tensor:
    """Round `weight` (outputs, inputs) as ONNX Runtime's symmetric blocks of `block` inputs do.

    The value farthest from zero gets the lowest of the 2^bits levels; the last block is padded with zeros.
    """
    import torch

    outputs, inputs = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -inputs % block))
    cut = padded.reshape(outputs, -1, block)
    farthest = cut.gather(-1, cut.abs().argmax(-1, keepdim=True))
    lowest = -(2 ** (bits - 1))
    scale = farthest / lowest
    levels = torch.where(scale == 0, 0.0, cut / scale).round().clamp(lowest, -lowest - 1)
    result: torch.Tensor = (levels * scale).reshape(outputs, -1)[:, :inputs]
    return result
