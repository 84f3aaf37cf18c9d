"""The inputs that a user's PyTorch model offers itself, for suites that do not give them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from harness.errors import DataError
from harness.formats.tensors import TensorSpec

OFFERS = ("example_inputs", "example_input_array")
"""Attributes of the module, or of the file that defines it; the second is PyTorch Lightning's."""


def offered_inputs(module: nn.Module, factory: Any, name: str) -> tuple[TensorSpec, ...]:
    """Return the inputs that `module`, or the file of its `factory`, offers as example tensors.

    They are one tensor, a tuple in the order of `forward`, or a dictionary by its parameters' names, with the
    batch first; a function is called for them. Of timm's models, the size of the image is known. Raises
    DataError when nothing is offered.
    """
    accepted = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    for owner in (module, sys.modules[factory.__module__]):
        for offer in OFFERS:
            value = getattr(owner, offer, None)
            value = value() if callable(value) else value
            if value is not None:
                return _specs(value, accepted, f"{name}: {offer}")
    size = getattr(module, "default_cfg", {}).get("input_size")
    if size:
        return (TensorSpec(name=accepted[0], shape=tuple(size)),)
    wanted = ", ".join(f"{one}: [3, 224, 224]" for one in accepted) or "image: [3, 224, 224]"
    raise DataError(
        f"{name}: its inputs are not known. Give the shape of one sample of each input in the suite, such as "
        f"inputs: {{{wanted}}}, or define example_inputs = (tensor, …) in the model's file"
    )


def _specs(value: Any, accepted: list[str], what: str) -> tuple[TensorSpec, ...]:
    if isinstance(value, Mapping):
        pairs = sorted(value.items(), key=lambda pair: (*accepted, pair[0]).index(pair[0]))
    else:
        several = value if isinstance(value, (tuple, list)) else (value,)
        names = accepted + [f"input_{place}" for place in range(len(accepted), len(several))]
        pairs = list(zip(names, several, strict=False))
    return tuple(_spec(name, one, what) for name, one in pairs)


def _spec(name: str, value: Any, what: str) -> TensorSpec:
    """Describe one example; integers lie below its largest plus one."""
    shape, dtype = tuple(getattr(value, "shape", ())), str(getattr(value, "dtype", "")).removeprefix("torch.")
    if not shape:
        raise DataError(f"{what} has {name}, which is no tensor with the batch as its first dimension")
    high = int(np.asarray(value).max()) + 1 if "int" in dtype and 0 not in shape else 2
    return TensorSpec.model_validate({"name": name, "shape": shape[1:], "dtype": dtype, "high": max(high, 2)})
