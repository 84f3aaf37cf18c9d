"""Factories of modules whose code sets torch's threads: at import, when they are made, or in a call."""

import torch
from torch import nn

torch.set_num_threads(1)


def made(threads: int) -> nn.Module:
    torch.set_num_threads(threads)
    return nn.Linear(8, 4)


class Calling(nn.Module):
    def __init__(self, threads: int) -> None:
        super().__init__()
        self.inner, self.threads = nn.Linear(8, 4), threads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(self.threads)
        return self.inner(x)


def calling(threads: int) -> nn.Module:
    return Calling(threads)


def double() -> nn.Module:
    """What torch makes after this is in float64."""
    torch.set_default_dtype(torch.float64)
    return nn.Linear(8, 4).float()
