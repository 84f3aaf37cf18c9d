"""Where the batch is in the outputs of a model, found by calls with batches of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import BuildError, describe
from harness.formats.tensors import Array, TensorSpec
from harness.runtimes.registry import Session

SIZES = (1, 2, 2, 3)
"""Batches that are tried; one again with other inputs, since sizes of outputs may depend on values."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class OutputAxes:
    """The batch axis of each output; None: it has none, or its size depends on the values of the inputs.

    `only_batch` is the batch that the model takes where it takes no other.
    """

    axes: tuple[int | None, ...]
    only_batch: int | None = None


def find_output_axes(
    open_at: Callable[[int], Session],
    inputs: Sequence[TensorSpec],
    seed: int,
    given: Mapping[str, int | None],
) -> OutputAxes:
    """Call the model with batches of several sizes, and look which dimension of each output follows.

    `given` are axes by the outputs' names, or numbers where they have no names; they are taken as they are.
    Raises BuildError where no call works, or where `given` names what the model does not have.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[int, list[Shape]]] = []
    failure: Exception | None = None
    session: Session | None = None
    for wanted in SIZES:
        try:
            if session is None or session.fixed_batch not in (None, wanted):
                session = open_at(wanted)
            size = session.fixed_batch or wanted
            arrays = [spec.example(size, rng) for spec in inputs]
            found.append((size, [np.asarray(part).shape for part in session.run(arrays)]))
        except Exception as error:  # each runtime raises its own; many models take one batch only
            failure = failure or error
    names: Sequence[str] = session.output_names if session is not None else ()
    if not found:
        raise BuildError(f"the model fails on random inputs: {describe(failure or ValueError())}")
    axes = [_axis(found, place) for place in range(len(found[0][1]))]
    names = names if len(names) == len(axes) else [str(place) for place in range(len(axes))]
    if strangers := sorted(set(given) - set(names)):
        raise BuildError(f"outputs names {', '.join(strangers)}; the model has {', '.join(names)}")
    axes = [given.get(name, axis) for name, axis in zip(names, axes, strict=True)]
    sizes = {size for size, _ in found}
    return OutputAxes(tuple(axes), sizes.pop() if len(sizes) == 1 else None)


def _axis(found: Sequence[tuple[int, list[Shape]]], place: int) -> int | None:
    """Return the first dimension of an output that is the batch in all calls, whose others stay the same."""
    shapes = [(size, shapes[place]) for size, shapes in found]
    for axis in range(min(len(shape) for _, shape in shapes)):
        others = {shape[:axis] + shape[axis + 1 :] for _, shape in shapes}
        if len(others) == 1 and all(shape[axis] == size for size, shape in shapes):
            return axis
    return None


def rows(parts: Sequence[Array], axes: Sequence[int | None]) -> tuple[Array, ...]:
    """Return arrays of one call with the samples first; those without a batch as one sample."""
    arrays = [np.asarray(part) for part in parts]
    if len(axes) != len(arrays):
        return tuple(arrays)
    return tuple(
        array[np.newaxis] if axis is None else np.moveaxis(array, axis, 0) if axis < array.ndim else array
        for array, axis in zip(arrays, axes, strict=True)
    )
