"""A model of transformers as a plain module: positional tensors in, one tensor out. For workers only."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import nn

from harness.errors import DataError, first_line


class OneOutput(nn.Module):
    """`inputs` names the keywords of the model's inputs; `last` returns the last position's output only."""

    def __init__(self, model: Any, inputs: tuple[str, ...], *, last: bool) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.last = last
        known = inspect.signature(model.forward).parameters
        settings = {"return_dict": True, "use_cache": False, "logits_to_keep": 1 if last else 0}
        self._settings = {name: value for name, value in settings.items() if name in known}

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the model's first output: logits where it has a head, else features."""
        named = dict(zip(self.inputs, tensors, strict=True))
        first: torch.Tensor = self.model(**named, **self._settings)[0]
        return first[:, -1] if self.last else first


def build(config: dict[str, Any], model: str, inputs: list[str], *, last: bool) -> nn.Module:
    """Make `model` (one of transformers' auto classes) from `config`, untrained."""
    made = transformers.AutoConfig.for_model(**config)
    return OneOutput(getattr(transformers, model).from_config(made), tuple(inputs), last=last)


def load(where: str, model: str, inputs: list[str], *, last: bool, **settings: Any) -> nn.Module:
    """Load `model` from a folder or the hub, in float32: safetensors only, and no code of the checkpoint.

    Raises DataError, in one line, for a checkpoint that is missing, unreachable or needs its own code.
    """
    try:
        loaded = getattr(transformers, model).from_pretrained(
            where, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, **settings
        )
    except Exception as error:  # transformers raises many errors for a missing file
        raise _refusal(where, error) from error
    return OneOutput(loaded, tuple(inputs), last=last)


def read_config(where: str, **settings: Any) -> Any:
    """Read a checkpoint's configuration. Raises DataError."""
    try:
        return transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, **settings)
    except Exception as error:
        raise _refusal(where, error) from error


def _refusal(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: transformers cannot load this checkpoint from a folder, its cache or the hub "
        f"(safetensors weights, no code of its own): {first_line(error)}"
    )
