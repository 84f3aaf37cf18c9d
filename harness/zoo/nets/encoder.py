"""A transformer encoder as BERT has it (Devlin et al., "BERT: Pre-training of Deep Bidirectional
Transformers for Language Understanding", 2018): norms after attention and feed-forward, learned positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import nn

from harness.zoo.nets.decoder import DEVIATION, Attention


@dataclass(frozen=True)
class EncoderShape:
    """`vocabulary` tokens, `context` positions at most, `layers` of `width` features in `heads` heads."""

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    kinds: int = 2


BERT_BASE = EncoderShape(vocabulary=30_522, context=512, width=768, layers=12, heads=12)
"""As transformers' default BertConfig has it."""


class Layer(nn.Module):
    """Attention and a feed-forward of four times the width, each beside a shortcut and before a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads, causal=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, positions, width) to the same shape."""
        features = self.norm1(features + self.attention(features)[0])
        result: torch.Tensor = self.norm2(features + self.down(F.gelu(self.up(features))))
        return result


class Encoder(nn.Module):
    """Embeddings of tokens, positions and kinds of segment, then layers; weights are drawn as in BERT."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width))
        self.kinds = nn.Parameter(torch.empty(shape.kinds, shape.width))
        self.norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(shape.width, shape.heads) for _ in range(shape.layers))
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Features (batch, positions, width) of token ids (batch, positions), all of the first kind."""
        embedded = self.tokens(tokens) + self.positions[: tokens.shape[1]] + self.kinds[0]
        features: torch.Tensor = self.norm(embedded)
        for layer in self.layers:
            features = layer(features)
        return features
