"""GPT-2 small reading a prompt of 256 tokens: large dense layers, compute-bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch

TOKENS, VOCABULARY = 256, 50_257


@zoo_model(
    "gpt2-small-prefill",
    summary="GPT-2 small reads 256 tokens and fills its cache, random weights: 124 M parameters",
    inputs=(TensorSpec(name="tokens", shape=(TOKENS,), dtype="int64", high=VOCABULARY),),
    dataset="random-tokens",
    metric="cosine",
    source="Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
    tokens_per_sample=TOKENS,
)
def build() -> torch.nn.Module:
    """Make the decoder with random weights.

    It maps token ids (batch, 256) to the logits after the last (batch, 50257) and the cache: keys and values
    of each layer, 24 arrays (batch, 12, 256, 64).
    """
    from harness.zoo.nets.transformer import GPT2_SMALL, Prefill

    return Prefill(GPT2_SMALL)
