"""A decoder-only transformer as GPT-2 has it (Radford et al., "Language Models are Unsupervised Multitask
Learners", 2019): norms before attention and feed-forward, learned positions, the head tied to the embedding.
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
"""Standard deviation of untrained weights, as in GPT-2."""


@dataclass(frozen=True)
class DecoderShape:
    """`vocabulary` tokens, `context` positions at most, `layers` of `width` features in `heads` heads."""

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int


GPT2_SMALL = DecoderShape(vocabulary=50_257, context=1024, width=768, layers=12, heads=12)
"""As transformers' default GPT2Config has it."""


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

        `past` holds those of the positions before, all of which each position sees; then there is one
        position. Without it each position sees itself and those before; all, where it is not causal.
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
    """Attention and a feed-forward of four times the width, each beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, features: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
        """Map (batch, positions, width) to the same shape; `past` and the pair are those of `Attention`."""
        mixed, new = self.attention(self.norm1(features), past)
        features = features + mixed
        inner = F.gelu(self.up(self.norm2(features)), approximate="tanh")
        return features + self.down(inner), new


class Decoder(nn.Module):
    """Embedding, blocks, a last norm and the head; weights are drawn as in GPT-2."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self._draw(shape.layers)

    def forward(
        self, tokens: torch.Tensor, past: Sequence[Pair] | None = None
    ) -> tuple[torch.Tensor, list[Pair]]:
        """Features (batch, positions, width) of token ids (batch, positions), and each layer's new pair.

        With `past`, a pair for each layer, the tokens come after its positions.
        """
        start = past[0][0].shape[2] if past else 0
        features = self.tokens(tokens) + self.positions[start : start + tokens.shape[1]]
        pairs = []
        for index, block in enumerate(self.blocks):
            features, new = block(features, past[index] if past else None)
            pairs.append(new)
        return self.norm(features), pairs

    def _draw(self, layers: int) -> None:
        """Draw weights; what adds to a shortcut is divided by the root of the number of such additions."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                added = name.endswith(("attention.output.weight", "down.weight"))
                nn.init.normal_(parameter, std=DEVIATION / math.sqrt(2 * layers) if added else DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


class LanguageModel(nn.Module):
    """A decoder that scores the next token at every position."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.decoder = Decoder(shape)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (batch, positions, vocabulary) of token ids (batch, positions)."""
        logits: torch.Tensor = self.decoder.head(self.decoder(tokens)[0])
        return logits


class Prefill(nn.Module):
    """A decoder that reads a prompt: what comes after it, and the cache to go on from."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.decoder = Decoder(shape)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (batch, vocabulary) after the last of the token ids (batch, positions); then keys and values
        of the first layer, of the second … each (batch, heads, positions, width / heads).
        """
        features, pairs = self.decoder(tokens)
        return (self.decoder.head(features[:, -1]), *(part for pair in pairs for part in pair))


class Decode(nn.Module):
    """A decoder that goes on from a cache by one token."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.decoder = Decoder(shape)

    def forward(self, token: torch.Tensor, *cache: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (batch, vocabulary) after the token id (batch, 1), and this token's keys and values.

        `cache` is laid out as `Prefill` returns it; so is what is returned, with one position each.
        """
        features, pairs = self.decoder(token, list(zip(cache[::2], cache[1::2], strict=True)))
        return (self.decoder.head(features[:, -1]), *(part for pair in pairs for part in pair))
