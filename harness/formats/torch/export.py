"""Helpers around torch's exporters that several steps use. Torch is imported inside the functions."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.tensors import TensorSpec

if TYPE_CHECKING:
    import torch

MAX_BATCH = 65_536


def example_tensors(specs: tuple[TensorSpec, ...], batch: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Return seeded random inputs of one call with `batch` samples, a tensor for each input."""
    import torch

    rng = np.random.default_rng(seed)
    return tuple(torch.from_numpy(spec.example(batch, rng)) for spec in specs)


def batch_shapes(module: torch.nn.Module, specs: tuple[TensorSpec, ...]) -> tuple[Any, ...]:
    """Return dynamic shapes in which the batch dimension of all inputs is one free batch.

    There is one entry for each parameter of the module's `forward`; the entry of ``*arguments`` is a tuple.
    """
    import torch

    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    shapes: tuple[Any, ...] = tuple(
        None if spec.batch_axis is None else {spec.batch_axis: batch} for spec in specs
    )
    parameters = inspect.signature(module.forward).parameters.values()
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            return (*shapes[:index], shapes[index:])
    return shapes


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporter's progress lines and warnings out of the Cell's log; its errors still raise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
