"""The zoo's language model: a small decoder that predicts the next byte of Python source text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import Recipe, zoo_model

if TYPE_CHECKING:
    import torch

CONTEXT, BYTES = 256, 256


@zoo_model(
    "byte-lm",
    summary="byte-level language model of Python source: 1.7 M parameters, 256 bytes a call",
    inputs=(TensorSpec(name="tokens", shape=(CONTEXT,), dtype="int64", high=BYTES),),
    dataset="stdlib-bytes",
    metric="bits-per-byte",
    recipe=Recipe(epochs=1, batch=8, learning_rate=2e-3, weight_decay=0.1, seed=1),
    tokens_per_sample=CONTEXT,
    source="Radford et al., Language Models are Unsupervised Multitask Learners, 2019, at a small size",
)
def build() -> torch.nn.Module:
    """Make two untrained layers of 256 features; they map bytes (batch, 256) to logits (batch, 256, 256)."""
    from harness.zoo.nets.transformer import LanguageModel, TransformerShape

    return LanguageModel(TransformerShape(BYTES, CONTEXT, width=256, layers=2, heads=4))
