"""GPT-2 small makes one token from a cache of 256: a call reads all weights once, so it is memory-bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch

VOCABULARY, LAYERS = 50_257, 12
CACHED = (12, 256, 64)
"""Heads, positions and features of the keys, and of the values, of one layer."""


@zoo_model(
    "gpt2-small-decode",
    summary="GPT-2 small makes a token from a cache of 256, random weights: 124 M parameters",
    inputs=(
        TensorSpec(name="token", shape=(1,), dtype="int64", high=VOCABULARY),
        *(
            TensorSpec(name=f"past_{part}_{layer}", shape=CACHED)
            for layer in range(LAYERS)
            for part in ("key", "value")
        ),
    ),
    dataset="random-tokens",
    metric="cosine",
    source="Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
    tokens_per_sample=1,
)
def build() -> torch.nn.Module:
    """Make the decoder with the weights of ``gpt2-small-prefill``.

    It maps a token id (batch, 1) and a cache of 24 arrays (batch, 12, 256, 64), the keys and values of each
    layer, to the logits after the token and the token's own keys and values.
    """
    from harness.zoo.nets.transformer import GPT2_SMALL, Decode

    return Decode(GPT2_SMALL)
