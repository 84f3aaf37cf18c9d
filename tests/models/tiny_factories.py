"""Factories of tiny modules that unit tests save, prune, export and quantize; some cannot be used."""

import torch
from torch import nn


def dense(width: int = 16, classes: int = 4) -> nn.Module:
    """8 → width → classes."""
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, classes))


def wide() -> nn.Module:
    """Wide enough for groups of 32 weights; the last layer's 10 outputs are no multiple of 16."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def linear() -> nn.Module:
    return nn.Linear(8, 4)


class Conv(nn.Module):
    """A small image classifier with batch norm: (1, 8, 8) → 4."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2)
        self.head = nn.Linear(2 * width, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv1(image)))
        return self.head(torch.relu(self.conv2(x)).mean((2, 3)))


def conv(width: int = 16) -> nn.Module:
    return Conv(width)


def single_conv() -> nn.Module:
    return nn.Conv2d(2, 4, 3, padding=1)


class Residual(nn.Module):
    """A block as ResNets have it, one ReLU called twice, with an epsilon of its own: (2, 6, 6) → 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8, eps=1e-2)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.shortcut = nn.Conv2d(2, 8, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        inner = self.relu(self.norm1(self.conv1(image)))
        return self.head(self.relu(self.norm2(self.conv2(inner)) + self.shortcut(image)).mean((2, 3)))


def residual() -> nn.Module:
    return Residual()


class Tied(nn.Module):
    """One parameter under two names, and its transposed view under a third."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight
        self.back = nn.Linear(6, 6, bias=False)
        self.back.weight = nn.Parameter(self.first.weight.detach().t())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.back(torch.relu(self.second(torch.relu(self.first(x)))))


def tied() -> nn.Module:
    return Tied()


class TiedHead(nn.Module):
    """Scores of 12 tokens at each position, the head tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(12, 32)
        self.head = nn.Linear(32, 12, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.tokens(tokens))


def tied_head() -> nn.Module:
    return TiedHead()


class Buffered(nn.Module):
    """Buffers of several types beside a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("shift", torch.arange(3.0))
        self.register_buffer("calls", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + self.shift


def buffered() -> nn.Module:
    return Buffered()


class TwoOutputs(nn.Module):
    """Answers with a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.left = nn.Linear(16, 3)
        self.right = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(self.body(x))
        return self.left(hidden), self.right(hidden)


def two_outputs() -> nn.Module:
    return TwoOutputs()


class TwoInputs(nn.Module):
    """Its inputs are not in the order of the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(4, 4)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return self.scale(query) - 2 * key


def two_inputs() -> nn.Module:
    return TwoInputs()


def no_weights() -> nn.Module:
    return nn.ReLU()


def ones() -> nn.Module:
    """All weights alike, so that none is smaller than another."""
    module = nn.Linear(8, 4)
    nn.init.ones_(module.weight)
    return module


def raises() -> nn.Module:
    raise RuntimeError("the weights are on another disk")


def wrong_type() -> dict[str, int]:
    return {"weight": 1}


class Named(nn.Module):
    """Answers with a dict, whose order is not that of its names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.relu(self.body(x))
        return {"scores": self.head(hidden), "hidden": hidden}


def named() -> nn.Module:
    return Named()


class Recurrent(nn.Module):
    """An LSTM, whose products torch's counter does not count, and a dense layer, whose products it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(6, 10, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x)[0][:, -1])


def recurrent() -> nn.Module:
    return Recurrent()


class Summed(nn.Module):
    """A sum over two axes, which ONNX has as an Einsum, and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(4, 6, 5))
        self.second = nn.Parameter(torch.randn(5, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bhi,hij->bhj", x, self.first) @ self.second


def summed() -> nn.Module:
    return Summed()


class Kinds(nn.Module):
    """Weights of many kinds: (5,) tokens of 12 → 3."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(12, 8)
        self.position = nn.Parameter(torch.randn(1, 5, 8))
        self.norm = nn.LayerNorm((5, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.body = nn.LSTM(8, 6, batch_first=True)
        self.up = nn.ConvTranspose1d(6, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.tokens(tokens) + self.position)
        x = self.body(self.attention(x, x, x)[0])[0]
        return self.head(self.up(x.transpose(1, 2)).mean(2))


def kinds() -> nn.Module:
    return Kinds()


class Attention(nn.Module):
    """One encoder layer, which torch computes by one fused operator, and a head: (5, 8) → 3."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x).mean(1))


def attention() -> nn.Module:
    return Attention()


def upward() -> nn.Module:
    """(4, 5, 5) → a transposed convolution to 16 channels → 2."""
    return nn.Sequential(
        nn.ConvTranspose2d(4, 16, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 2, 3),
        nn.Flatten(),
        nn.Linear(162, 3),
    )
