"""A model of transformers as a plain module: positional tensors in, its main outputs out, for workers."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import nn

from harness.errors import DataError, first_line


class MainOutputs(nn.Module):
    """`inputs` names the keywords of the model's inputs; `last` returns the last position's output only.

    `outputs` names the outputs that are returned, as a dict; without names the first one is.
    """

    def __init__(self, model: Any, inputs: list[str], outputs: list[str], *, last: bool) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.last = last
        known = inspect.signature(model.forward).parameters
        settings = {"return_dict": True, "use_cache": False, "logits_to_keep": 1 if last else 0}
        self._settings = {name: value for name, value in settings.items() if name in known}

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return the named outputs, else the first: logits where the model has a head, else features."""
        named = dict(zip(self.inputs, tensors, strict=True))
        result = self.model(**named, **self._settings)
        if self.outputs:
            return {name: result[name] for name in self.outputs}
        first: torch.Tensor = result[0]
        return first[:, -1] if self.last else first


def build(
    config: dict[str, Any], model: str, inputs: list[str], *, last: bool, outputs: list[str]
) -> nn.Module:
    """Make `model` (one of transformers' auto classes) from `config`, untrained."""
    made = transformers.AutoConfig.for_model(**config)
    return MainOutputs(getattr(transformers, model).from_config(made), inputs, outputs, last=last)


def load(
    where: str,
    model: str,
    settings: dict[str, Any],
    *,
    inputs: list[str],
    outputs: list[str],
    last: bool,
) -> nn.Module:
    """Load `model` from a folder or the hub, in float32: safetensors only, and no code of the checkpoint.

    Raises DataError, in one line, for a checkpoint that is missing, unreachable or needs its own code.
    """
    try:
        loaded = getattr(transformers, model).from_pretrained(
            where, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, **settings
        )
    except Exception as error:  # transformers raises many errors for a missing file
        raise _refusal(where, error) from error
    return MainOutputs(loaded, inputs, outputs, last=last)


def read_config(where: str, **settings: Any) -> Any:
    """Read a checkpoint's configuration. Raises DataError."""
    try:
        return transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, **settings)
    except Exception as error:
        raise _refusal(where, error) from error


def parameter_names(where: str, made: Any, model: str) -> list[str]:
    """Return the names of the inputs of `model` for a configuration, without making weights."""
    try:
        with torch.device("meta"):
            return list(inspect.signature(getattr(transformers, model).from_config(made).forward).parameters)
    except Exception as error:
        raise _refusal(where, error) from error


def _refusal(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: transformers cannot load this checkpoint from a folder, its cache or the hub "
        f"(safetensors weights, no code of its own): {first_line(error)}"
    )
