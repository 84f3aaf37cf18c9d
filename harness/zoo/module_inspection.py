"""What planning needs to know of a PyTorch model, found by calling it once. For workers only."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from harness.errors import DataError, describe
from harness.formats.outputs import flatten
from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import example_tensors

BATCHES = (2, 1, 4, 8, 16, 32, 64, 128)
"""Batches that are tried in this order, since a module may take only some."""


def inspect_module(
    module: nn.Module, inputs: tuple[TensorSpec, ...], name: str, *, batch: int | None = None
) -> dict[str, Any]:
    """Return inputs, outputs, fixed batch, parameters and operators of a module, as JSON.

    `name` is what the user calls the model, `batch` its only batch if it is known. Operators are the types
    of layers. Raises DataError when the module accepts its inputs in no batch that is tried.
    """
    tensors = [*module.parameters(), *module.buffers()]
    outputs: list[dict[str, Any]] = []
    if all(tensor.device.type == "cpu" for tensor in tensors):  # elsewhere the device may be missing
        size, result = _call(module, inputs, name, (batch,) if batch else BATCHES)
        for path, value in flatten(result):
            dims: list[int | None] = list(getattr(value, "shape", ()))
            if dims[:1] == [size] and batch is None:
                dims[0] = None
            outputs.append(
                {
                    "name": path,
                    "dtype": str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch."),
                    "dims": dims,
                }
            )
    leaves = (type(part).__name__ for part in module.modules() if next(part.children(), None) is None)
    return {
        "inputs": [spec.model_dump(mode="json") for spec in inputs],
        "outputs": outputs,
        "fixed_batch": batch,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "operators": dict(Counter(leaves)),
    }


def _call(
    module: nn.Module, inputs: tuple[TensorSpec, ...], name: str, sizes: tuple[int, ...]
) -> tuple[int, Any]:
    """Call the module in the first batch that it accepts; return that batch and the result."""
    first: Exception | None = None
    for size in sizes:
        try:
            with torch.inference_mode():
                return size, module(*example_tensors(inputs, size, seed=0))
        except Exception as error:  # a user's module may raise anything
            first = first or error
    shapes = ", ".join(f"{spec.name} {[sizes[0], *spec.shape]} {spec.dtype}" for spec in inputs)
    assert first is not None  # noqa: S101 (sizes is not empty)
    raise DataError(f"{name} fails on its inputs ({shapes}): {describe(first)}") from first
