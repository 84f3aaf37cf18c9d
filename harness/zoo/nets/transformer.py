"""Transformers: a decoder as in GPT-2 and an encoder as in BERT.

The decoder (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019) has norms before
attention and feed-forward, learned positions, and a head tied to the embedding. The encoder (Devlin et al.,
"BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2018) has norms after
attention and feed-forward, and learned positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import nn

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, each (batch, heads, positions, width / heads)."""
DEVIATION = 0.02
"""Standard deviation of untrained weights, as in GPT-2 and BERT."""


@dataclass(frozen=True)
class TransformerShape:
    """`vocabulary` tokens, at most `context` positions, `layers` of `width` features in `heads` heads.

    `kinds` is the number of segment kinds of an encoder.
    """

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    kinds: int = 2


GPT2_SMALL = TransformerShape(vocabulary=50_257, context=1024, width=768, layers=12, heads=12)
"""The default of transformers' GPT2Config."""

BERT_BASE = TransformerShape(vocabulary=30_522, context=512, width=768, layers=12, heads=12)
"""The default of transformers' BertConfig."""


class Attention(nn.Module):
    """Self-attention in `heads` heads; one product makes queries, keys and values."""

    def __init__(self, width: int, heads: int, *, causal: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, features: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
        """Map (batch, positions, width) to the same shape; return the keys and values of these positions too.

        `past` holds keys and values of all earlier positions; then `features` has one position, which attends
        to all of them. Without `past`, each position attends to itself and earlier ones, or to all positions
        where attention is not causal.
        """
        batch, positions, width = features.shape
        split = self.inputs(features).view(batch, positions, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        new = (key, value)
        if past is not None:
            key, value = torch.cat((past[0], key), dim=2), torch.cat((past[1], value), dim=2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal and past is None)
        result: torch.Tensor = self.output(mixed.transpose(1, 2).reshape(batch, positions, width))
        return result, new


class Block(nn.Module):
    """A decoder layer: attention and a feed-forward of four times the width, each with a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, features: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
        """Map (batch, positions, width) to the same shape; `past` and the pair are as in `Attention`."""
        mixed, new = self.attention(self.norm1(features), past)
        features = features + mixed
        inner = F.gelu(self.up(self.norm2(features)), approximate="tanh")
        return features + self.down(inner), new


class Decoder(nn.Module):
    """Embedding, blocks, a final norm and the head; weights are initialized as in GPT-2."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self._initialize(shape.layers)

    def forward(
        self, tokens: torch.Tensor, past: Sequence[Pair] | None = None
    ) -> tuple[torch.Tensor, list[Pair]]:
        """Map token ids (batch, positions) to features (batch, positions, width) and each layer's new pair.

        With `past`, a pair for each layer, the tokens follow its positions.
        """
        start = past[0][0].shape[2] if past else 0
        features = self.tokens(tokens) + self.positions[start : start + tokens.shape[1]]
        pairs = []
        for index, block in enumerate(self.blocks):
            features, new = block(features, past[index] if past else None)
            pairs.append(new)
        return self.norm(features), pairs

    def _initialize(self, layers: int) -> None:
        """Initialize weights; those that add to a shortcut are divided by the root of their number."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                added = name.endswith(("attention.output.weight", "down.weight"))
                nn.init.normal_(parameter, std=DEVIATION / math.sqrt(2 * layers) if added else DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


class _OfDecoder(nn.Module):
    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.decoder = Decoder(shape)


class LanguageModel(_OfDecoder):
    """A decoder that predicts the next token at every position."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map token ids (batch, positions) to logits (batch, positions, vocabulary)."""
        logits: torch.Tensor = self.decoder.head(self.decoder(tokens)[0])
        return logits


class Prefill(_OfDecoder):
    """A decoder that reads a prompt and returns the logits after it and the cache."""

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map token ids (batch, positions) to the logits (batch, vocabulary) after the last, and the cache.

        The cache is the keys and the values of each layer, each (batch, heads, positions, width / heads).
        """
        features, pairs = self.decoder(tokens)
        return (self.decoder.head(features[:, -1]), *(part for pair in pairs for part in pair))


class Decode(_OfDecoder):
    """A decoder that continues from a cache by one token."""

    def forward(self, token: torch.Tensor, *cache: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map a token id (batch, 1) to the logits (batch, vocabulary) after it, and its keys and values.

        `cache` has the layout that `Prefill` returns; the result has the same layout with one position.
        """
        features, pairs = self.decoder(token, list(zip(cache[::2], cache[1::2], strict=True)))
        return (self.decoder.head(features[:, -1]), *(part for pair in pairs for part in pair))


class EncoderLayer(nn.Module):
    """An encoder layer: attention and a feed-forward of four times the width, each with shortcut and norm."""

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
    """Embeddings of tokens, positions and segment kinds, then layers; weights are initialized as in BERT."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width))
        self.kinds = nn.Parameter(torch.empty(shape.kinds, shape.width))
        self.norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer(shape.width, shape.heads) for _ in range(shape.layers))
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map token ids (batch, positions), all of the first kind, to features (batch, positions, width)."""
        embedded = self.tokens(tokens) + self.positions[: tokens.shape[1]] + self.kinds[0]
        features: torch.Tensor = self.norm(embedded)
        for layer in self.layers:
            features = layer(features)
        return features
