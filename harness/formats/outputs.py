"""Outputs of a model: trees of tensors, flattened alike for all runtimes, with a name for each tensor.

It imports no torch: a leaf may be a torch tensor, an array or a number.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ONLY = "output"
"""Name of the output of a model that returns one tensor, and first part of the names of a tuple's outputs."""


@dataclass(frozen=True)
class OutputSpec:
    """One output of a model: `shape` without the batch dimension, None where it is not known.

    `batch_axis` is the dimension that is the batch; None: no dimension is.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    batch_axis: int | None = 0

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> OutputSpec:
        """Read what `dataclasses.asdict` wrote as JSON."""
        shape = fields["shape"]
        return cls(**{**fields, "shape": None if shape is None else tuple(shape)})


@dataclass(frozen=True)
class Examined:
    """What running a model as given showed: its outputs, and sentences that its Records carry as warnings."""

    outputs: tuple[OutputSpec, ...] = ()
    warnings: tuple[str, ...] = ()


def flatten(value: Any) -> tuple[tuple[str, Any], ...]:
    """Return the leaves of a model's result with their names, in the order of an exported graph.

    Dicts (in their own order), lists, tuples, NamedTuples and dataclasses are containers; None is left out.
    Names join keys, fields and positions by dots: ``logits``, ``state.0``; the leaf of a result that is no
    container is ``output``, those of a tuple are ``output.0``, ``output.1``.
    """
    parts = children(value)
    if parts is None:
        return () if value is None else ((ONLY, value),)
    prefix = f"{ONLY}." if isinstance(value, (tuple, list)) and not hasattr(value, "_fields") else ""
    return tuple(_walk(parts, prefix))


def _walk(parts: Iterable[tuple[str, Any]], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, part in parts:
        inner = children(part)
        if inner is not None:
            yield from _walk(inner, f"{prefix}{key}.")
        elif part is not None:
            yield f"{prefix}{key}", part


def leaves(value: Any) -> list[Any]:
    """Return the leaves that `flatten` returns, without their names."""
    parts = children(value)
    if parts is None:
        return [] if value is None else [value]
    return [leaf for _, part in parts for leaf in leaves(part)]


def children(value: Any) -> list[tuple[str, Any]] | None:
    """Return the named parts of a container; None for a leaf."""
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", range(len(value)))
        return [(str(name), part) for name, part in zip(names, value, strict=True)]
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a model's result, or of its arguments, whose leaves are changed."""
    if isinstance(value, (tuple, list)):
        made = [map_leaves(part, change) for part in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    parts = children(value)
    if parts is None:
        return None if value is None else change(value)
    result: Any = copy.copy(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            result[key] = map_leaves(part, change)
    else:
        for name, part in parts:  # a dataclass may be frozen
            object.__setattr__(result, name, map_leaves(part, change))
    return result


def unique_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Return the names of outputs, changed where an input or an earlier output has the same one."""
    used = set(taken)
    made = []
    for name in names:
        number, one = 1, name
        while one in used:
            number += 1
            one = f"{name}.{number}"
        used.add(one)
        made.append(one)
    return made
