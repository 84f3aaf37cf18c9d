"""Outputs of a PyTorch module as plain tensors that numpy and exported graphs have, alike in all runtimes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError
from harness.formats.outputs import flatten, unique_names

if TYPE_CHECKING:
    import torch

TAKEN = "tensors, numbers and None, in dicts, lists, tuples, NamedTuples and dataclasses"


@functools.cache
def _in_numpy() -> frozenset[torch.dtype]:
    """Return the dtypes that numpy has; others, such as bfloat16, are returned in float32."""
    import torch

    names = "float16 float32 float64 complex64 complex128 uint8 int8 int16 int32 int64 bool"
    return frozenset(getattr(torch, name) for name in names.split())


def plain(leaf: Any) -> torch.Tensor:
    """Return a leaf as a dense tensor of a dtype that numpy has; a number becomes a tensor without axes."""
    import torch

    if not isinstance(leaf, torch.Tensor):
        return torch.as_tensor(leaf)
    if leaf.dtype in _in_numpy() and leaf.layout is torch.strided:
        return leaf.resolve_conj() if leaf.is_complex() else leaf
    dense = leaf.dequantize() if leaf.is_quantized else leaf.to_dense() if leaf.is_sparse else leaf
    return dense if dense.dtype in _in_numpy() else dense.float()


def named_outputs(result: Any) -> list[tuple[str, torch.Tensor]]:
    """Return the outputs of a module with their names.

    Raises DataError, with its place, for what is no tensor or number, and when there is no output.
    """
    import torch

    found = flatten(result)
    for name, leaf in found:
        if not isinstance(leaf, (torch.Tensor, int, float, complex, np.ndarray, np.generic)):
            raise DataError(f"the model returns a {type(leaf).__name__} as {name!r}; outputs can be {TAKEN}")
    if not found:
        raise DataError(f"the model returns no tensor ({type(result).__name__}); outputs can be {TAKEN}")
    return [(name, plain(leaf)) for name, leaf in found]


def output_names(result: Any, inputs: tuple[str, ...]) -> list[str]:
    """Return the names of a module's outputs in a graph, where no input may have the same name."""
    return unique_names([name for name, _ in flatten(result)], inputs)


@contextlib.contextmanager
def flat_outputs(module: torch.nn.Module) -> Iterator[None]:
    """Let `module` return plain tensors by name, so that exporters see no other structure and names stay.

    An output that is an input, or another output, is copied: a graph's outputs must be distinct.
    """
    import torch

    def flat(_module: Any, inputs: Any, result: Any) -> Any:
        seen = {id(value) for value in inputs}
        if isinstance(result, torch.Tensor) and id(result) not in seen:
            return plain(result)
        made, found = {}, flatten(result)
        for name, (_, leaf) in zip(unique_names([name for name, _ in found], ()), found, strict=True):
            made[name] = plain(leaf).clone() if id(leaf) in seen else plain(leaf)
            seen.add(id(leaf))
        return made

    hook = module.register_forward_hook(flat)
    try:
        yield
    finally:
        hook.remove()
