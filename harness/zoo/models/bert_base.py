"""BERT base as an encoder of 128 tokens: large dense layers, compute-bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import zoo_model

if TYPE_CHECKING:
    import torch

TOKENS, VOCABULARY = 128, 30_522


@zoo_model(
    "bert-base",
    summary="BERT base encoder, random weights: 109 M parameters, 128 tokens a call",
    inputs=(TensorSpec(name="tokens", shape=(TOKENS,), dtype="int64", high=VOCABULARY),),
    dataset="random-tokens",
    metric="cosine",
    source="Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018",
    tokens_per_sample=TOKENS,
)
def build() -> torch.nn.Module:
    """Make the encoder with random weights; it maps token ids (batch, 128) to features (batch, 128, 768)."""
    from harness.zoo.nets.transformer import BERT_BASE, Encoder

    return Encoder(BERT_BASE)
