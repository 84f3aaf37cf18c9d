"""Three large dense layers: a call reads 201 MB of weights once, so it is memory-bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch


@zoo_model(
    "dense-4096",
    summary="three dense layers 4096 × 4096, random weights: 50 M parameters, memory-bound at batch 1",
    inputs=(TensorSpec(name="features", shape=(4096,)),),
    metric="agreement",
    source="the shape of a feed-forward layer of a language model",
)
def build() -> torch.nn.Module:
    """Make the layers 4096-4096-4096-4096 with random weights; samples are vectors (batch, 4096)."""
    from harness.zoo.nets.plain import Mlp

    return Mlp((4096,) * 4)
