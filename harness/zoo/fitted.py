"""Fit values to a model's inputs: dtypes that convert without loss, shapes by padding; else one error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from harness.errors import DataError
from harness.formats import likely
from harness.formats.tensors import Array, TensorSpec
from harness.zoo.data_sources.registry import Padding
from harness.zoo.plain import plain


class Rows:
    """Samples of one input, written one after the other to a file that is then memory-mapped."""

    def __init__(self, spec: TensorSpec, file: IO[bytes]) -> None:
        self.spec, self.file, self.count = spec, file, 0

    def append(self, samples: Array) -> None:
        """Write samples (number, *shape)."""
        self.file.write(np.ascontiguousarray(samples).data)
        self.count += len(samples)

    def array(self) -> Array:
        """Return all samples, read from the file where they are used; it may be closed then."""
        self.file.flush()
        shape = (self.count, *self.spec.shape)
        if not self.count * self.spec.sample_bytes():  # an empty file cannot be mapped
            return np.zeros(shape, self.spec.dtype)
        return np.memmap(self.file, self.spec.dtype, mode="r", shape=shape)

    def __len__(self) -> int:
        return self.count


class Fitting:
    """Fits samples to a model's inputs; `notes` say what was changed, `read` is the number of samples."""

    def __init__(self, what: str, specs: tuple[TensorSpec, ...], pad: Padding | None) -> None:
        self.what, self.specs, self.pad = what, specs, pad
        self.notes: list[str] = []
        self.read = 0

    def note(self, text: str) -> None:
        """Remember what was done, once."""
        if text not in self.notes:
            self.notes.append(text)

    def all_inputs(self, values: Sequence[Any]) -> tuple[Array, ...]:
        """Return an array for each input from rows of samples; None stands for an input that is made."""
        found: list[Array | None] = []
        lengths: list[int] | None = None
        for value, spec in zip(values, self.specs, strict=True):
            if value is None:
                found.append(None)
                continue
            rows = plain(value)
            if lengths is None and len(spec.shape) == 1 and hasattr(rows, "__len__"):
                lengths = [len(row) if hasattr(row, "__len__") else 1 for row in rows]
            found.append(self._array(rows, spec))
        count = max((len(array) for array in found if array is not None), default=0)
        self.read += count
        return tuple(
            self._made(spec, count, lengths) if array is None else array
            for array, spec in zip(found, self.specs, strict=True)
        )

    def _made(self, spec: TensorSpec, count: int, lengths: list[int] | None) -> Array:
        """Return an input that the data leave out: a mask is zero where another input was padded."""
        array = likely.values(spec, count, np.random.default_rng(0))
        if likely.kind(spec) == "mask" and lengths is not None and len(spec.shape) == 1:
            array &= (np.arange(spec.shape[0]) < np.reshape(lengths, (-1, 1))).astype(spec.dtype)
        self.note(f"{likely.describe(spec)} (not in the data)")
        return array

    def _array(self, rows: Any, spec: TensorSpec) -> Array:
        """Return samples (number, *shape) of the input's dtype."""
        if not isinstance(rows, np.ndarray) or rows.dtype == object:
            rows = self._stacked(rows, spec)
        if rows.ndim == 0:
            raise DataError(f"{self.what}: input {spec.name!r} has no dimension for the samples")
        if rows.shape[1:] != spec.shape:
            rows = self._padded(rows, spec)
        return self._converted(rows, spec)

    def _stacked(self, rows: Any, spec: TensorSpec) -> Array:
        try:
            arrays = [np.asarray(plain(row)) for row in rows]
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self.what}: input {spec.name!r} has a sample that is no array: {error}"
            ) from error
        shapes = list(dict.fromkeys(array.shape for array in arrays))
        if any(array.dtype.kind not in "biuf" for array in arrays):
            raise DataError(f"{self.what}: input {spec.name!r} has samples that are no arrays of numbers")
        if len(shapes) > 1:
            if self._number(spec) is None:
                raise DataError(
                    f"{self.what}: input {spec.name!r} has samples of different shapes, {shapes[0]} and "
                    f"{shapes[1]}; the model takes {spec.shape}. {self._remedy(spec)}"
                )
            arrays = [self._padded(array[np.newaxis], spec)[0] for array in arrays]
        return np.stack(arrays) if arrays else np.zeros((0, *spec.shape), spec.dtype)

    def _number(self, spec: TensorSpec) -> int | float | None:
        return self.pad.get(spec.name) if isinstance(self.pad, dict) else self.pad

    def _remedy(self, spec: TensorSpec) -> str:
        return (
            f"Shorter ones are filled up if the suite says with what: dataset: {{…, pad: {{{spec.name}: 0}}}}"
        )

    def _padded(self, rows: Array, spec: TensorSpec) -> Array:
        """Fill samples up to the input's shape, at the end of each dimension."""
        shape, number = rows.shape[1:], self._number(spec)
        smaller = len(shape) == len(spec.shape) and all(
            a <= b for a, b in zip(shape, spec.shape, strict=True)
        )
        if not smaller or number is None:
            hint = f". {self._remedy(spec)}" if smaller else ""
            raise DataError(
                f"{self.what}: input {spec.name!r} has samples of shape {shape}, not {spec.shape}{hint}"
            )
        if shape == spec.shape:
            return rows
        self.note(f"{spec.name}: shorter samples filled up with {number}")
        widths = [(0, 0), *((0, b - a) for a, b in zip(shape, spec.shape, strict=True))]
        return np.pad(rows, widths, constant_values=number)

    def _converted(self, rows: Array, spec: TensorSpec) -> Array:
        """Return the samples in the input's dtype. Raises DataError where values would be lost."""
        wanted = np.dtype(spec.dtype)
        if rows.dtype == wanted:
            return rows
        told = f"{self.what}: input {spec.name!r} has dtype {rows.dtype}, not {spec.dtype}"
        if rows.dtype.kind not in "biuf":
            raise DataError(told)
        if rows.dtype == np.uint8 and wanted.kind == "f":
            raise DataError(f"{told}; scale the pixels as the model expects them, and return {spec.dtype}")
        with np.errstate(all="ignore"):
            converted = rows.astype(wanted)
            same = (
                rows.dtype.kind == wanted.kind == "f" and (np.isfinite(rows) == np.isfinite(converted)).all()
            )
            if not same and not np.array_equal(converted.astype(rows.dtype), rows):
                raise DataError(f"{told}, and has values that {spec.dtype} cannot hold")
        self.note(f"{spec.name}: {rows.dtype} converted to {spec.dtype}")
        return converted


def as_labels(labels: Any, what: str) -> Array | None:
    """Return labels as one array of numbers, (samples, …); None stays. Raises DataError."""
    if labels is None:
        return None
    value = plain(labels)
    if not hasattr(value, "__len__"):
        raise DataError(f"{what} has one label for all samples; give one for each")
    try:
        known = isinstance(value, np.ndarray) and value.dtype.kind != "O"
        array = value if known else np.asarray([plain(one) for one in value])
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} has labels of different shapes; give all the same shape") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has labels that are no numbers, such as {short(array)}; number the classes")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(f"{what} has labels that are NaN")
    return array


def short(array: Array) -> str:
    """Return the first value of an array as text, cut to 40 characters."""
    return repr(array.flat[0])[:40] if array.size else "nothing"
