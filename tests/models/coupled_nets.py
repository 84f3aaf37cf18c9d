"""Networks whose channels depend on one another in ways that make pruning difficult."""

import torch
from torch import nn


class Detector(nn.Module):
    """Two heads on one body, each behind an activation, as a dict: (3, 8, 8) → boxes and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
        )
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 12, 1)

    def forward(self, image: torch.Tensor) -> dict[str, object]:
        inner = self.body(image)
        scores = torch.softmax(self.scores(inner), 1)
        return {"boxes": torch.tanh(self.boxes(inner)) * 8, "rest": (None, scores)}


class Twins(nn.Module):
    """One layer called on two views, joined and scaled by a bare parameter: (3, 8, 8) → 5."""

    def __init__(self) -> None:
        super().__init__()
        self.twin, self.mix = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(32, 16, 1)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 32).reshape(1, 32, 1, 1))
        self.head = nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        views = [torch.relu(self.twin(view)) for view in (image, image.flip(-1))]
        return self.head(torch.relu(self.mix(torch.cat(views, 1) * self.scale)).mean((2, 3)))


class Reshaped(nn.Module):
    """A reshape to a width that is written in the code: (8,) → 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)).reshape(-1, 4, 4).mean(1))


def detector() -> nn.Module:
    return Detector()


def twins() -> nn.Module:
    return Twins()


def reshaped() -> nn.Module:
    return Reshaped()


def separable() -> nn.Module:
    """A depthwise convolution between two that are not, as mobile networks have them: (3, 8, 8) → 5."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16),
        nn.Conv2d(16, 24, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


def grouped() -> nn.Module:
    """Groups in a norm, a convolution and a transposed convolution; 8 divides no width: (3, 8, 8) → 4."""
    return nn.Sequential(
        nn.Conv2d(3, 36, 3, padding=1), nn.GroupNorm(6, 36), nn.PReLU(36),
        nn.Conv2d(36, 36, 3, padding=1, groups=4), nn.ReLU(),
        nn.ConvTranspose2d(36, 20, 2, stride=2, groups=2),
        nn.BatchNorm2d(20), nn.PixelShuffle(2), nn.Conv2d(5, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(5, 4),
    )  # fmt: skip


def encoder() -> nn.Module:
    """An attention layer of torch and a head: (6, 32) → 4."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(32 * 6, 4))


class Sign(nn.Module):
    """A layer whose code branches on values, which torch.export cannot trace: (8,) → 8."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) if x.sum() > 0 else -self.inner(x)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), Sign())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def branching() -> nn.Module:
    return Branching()


def tied() -> nn.Module:
    """Two layers with one weight: (8,) → 4."""
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    net[2].weight = net[0].weight
    return net
