"""Read what a user's data may be: arrays, tensors, tables, mappings, datasets, iterables of samples."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.errors import DataError, describe
from harness.formats import likely
from harness.formats.tensors import Array, TensorSpec
from harness.zoo.data_sources.registry import DataConfig
from harness.zoo.fitted import Fitting, Rows, as_labels
from harness.zoo.plain import depth, plain
from harness.zoo.registry import Data

LABELS = ("labels", "label")
"""Keys of labels beside the names of inputs."""
MAX_SAMPLES, MAX_BYTES = 10_000, 2_000_000_000
"""Where the suite sets no number, so many bytes are read, and so many samples of what tells no length."""


def as_data(value: Any, what: str, inputs: tuple[TensorSpec, ...], config: DataConfig | None = None) -> Data:
    """Convert a dataset to Data for a model's `inputs`; `what` names it in messages. Raises DataError.

    With n inputs: a mapping has an array for each input under its name, and perhaps `labels`; n arrays are
    the inputs, n + 1 the inputs and the labels; in a tuple of two, whose first part is a tuple, list or
    mapping of n arrays, or whose second part is None, the second part holds the labels. A list of anything
    else, a dataset and an iterable hold samples, or batches of samples, each of one of these forms.
    """
    reader = _Reader(what, inputs, config or DataConfig())
    value = plain(value)
    if value is None:
        raise DataError(f"{what} is None: there are no samples")
    if isinstance(value, (str, bytes)) or not (hasattr(value, "__getitem__") or hasattr(value, "__iter__")):
        raise reader.fault(f"is of type {type(value).__name__}")
    whole = isinstance(value, (Mapping, tuple, np.ndarray)) or (
        isinstance(value, list) and reader.holds_arrays(value)
    )
    return reader.whole(value) if whole else reader.streamed(value)


class _Reader:
    """Reads one dataset for a model's inputs."""

    def __init__(self, what: str, specs: tuple[TensorSpec, ...], config: DataConfig) -> None:
        self.what, self.specs, self.config = what, specs, config
        self.names = [spec.name for spec in specs]
        self.ranks = [len(spec.shape) for spec in specs]
        self.fitting = Fitting(what, specs, config.pad)
        self.warnings: list[str] = []

    def fault(self, found: str) -> DataError:
        """Return an error that says what was found, and what is allowed."""
        inputs = ", ".join(self.names)
        one = len(self.names) == 1
        allowed = f"{inputs}, or ({inputs}, labels)" if one else f"({inputs}), or (({inputs}), labels)"
        return DataError(f"{self.what} {found}; allowed: {allowed}, or a mapping with these names and labels")

    def holds_arrays(self, value: list[Any]) -> bool:
        """Whether a list has an array for each input, perhaps with labels; else it is a list of samples.

        Raises DataError where it could be either.
        """
        count = len(self.specs)
        if not value or isinstance(value[0], (Mapping, tuple)):
            return False
        if len(value) not in (count, count + 1) or depth(value[0]) != self.ranks[0] + 1:
            return False
        if count == 1 and len(value) == 2 and depth(value[1]) == depth(value[0]) and _same_samples(*value):
            raise self.fault("is a list of two arrays, which may be inputs and labels, or two batches")
        if count > 1 and all(isinstance(one, list) and len(one) == count for one in value):
            raise self.fault(f"is a list of lists of {count}, which may be samples or inputs")
        return True

    def whole(self, value: Any) -> Data:
        """Read arrays that hold all samples."""
        inputs, labels = self.divided(value)
        arrays = self.fitting.all_inputs(inputs)
        truth = as_labels(labels, self.what)
        if truth is not None and len(truth) != len(arrays[0]):
            raise DataError(f"{self.what} has {len(arrays[0])} samples and {len(truth)} labels")
        data = Data(arrays, truth)
        if self.config.samples is not None and self.config.samples < len(data):
            data = data.take(_spread(len(data), self.config.samples))
            self.fitting.note(f"{len(data):,} of {len(arrays[0]):,} samples, evenly spaced")
        return Data(data.inputs, data.labels, tuple(self.fitting.notes))

    def streamed(self, value: Any) -> Data:
        """Read samples, or batches of samples, one after the other, into files that are memory-mapped."""
        limit = self._limit(value)
        with contextlib.ExitStack() as files:
            rows = [Rows(spec, files.enter_context(tempfile.TemporaryFile())) for spec in self.specs]
            labels = self._fill(rows, value, limit)
            arrays = tuple(row.array() for row in rows)
        count = len(arrays[0])
        if not count:
            raise DataError(f"{self.what} has no samples")
        if labels and len(labels) != count:
            raise DataError(f"{self.what} has {count} samples and {len(labels)} labels")
        data = Data(arrays, as_labels(labels or None, self.what))
        if count > limit:  # by the last batch
            self._warn(f"the first {limit:,} samples")
            data = data.take(np.arange(limit))
        return Data(data.inputs, data.labels, tuple(self.fitting.notes), tuple(self.warnings))

    def _fill(self, rows: Sequence[Rows], value: Any, limit: int) -> list[Any]:
        """Write samples to `rows` and return their labels."""
        labels: list[Any] = []
        for element in self._elements(value, limit):
            inputs, label = self.divided(plain(element))
            known = next((i for i, one in enumerate(inputs) if one is not None), 0)
            batch = depth(plain(inputs[known])) == self.ranks[known] + 1
            fitted = self.fitting.all_inputs([one if batch or one is None else [one] for one in inputs])
            for row, array in zip(rows, fitted, strict=True):
                row.append(array)
            if label is not None:
                labels.extend(plain(label) if batch else [plain(label)])
        return labels

    def divided(self, value: Any) -> tuple[list[Any], Any]:
        """Divide a dataset, a batch or a sample into a value for each input, and labels (or None).

        An input is None where it is left out and can be made, such as an attention mask.
        """
        count = len(self.specs)
        if isinstance(value, Mapping):
            if set(self.names) & set(value) or count > 1:
                key = next((key for key in LABELS if key in value and key not in self.names), None)
                return self._by_name(value), None if key is None else value[key]
            return self._of_columns(value)
        if isinstance(value, (tuple, list)) and not (count == 1 and self._is_sample(value)):
            if len(value) == 2 and (value[1] is None or self._is_group(value[0])):
                first = plain(value[0])
                inputs = (
                    self.divided(first)[0] if isinstance(first, Mapping) or self._is_group(first) else [first]
                )
                return inputs, value[1]
            if len(value) in (count, count + 1):
                return list(value[:count]), value[count] if len(value) > count else None
            raise self.fault(f"has {len(value)} parts for {count} inputs")
        if count > 1:
            raise self.fault(f"has one array for {count} inputs")
        return [value], None

    def _is_sample(self, value: tuple[Any, ...] | list[Any]) -> bool:
        """Whether a list is the only input itself: plain numbers, or lists of them."""
        fits = isinstance(value, list) and depth(value) in (self.ranks[0], self.ranks[0] + 1)
        return fits and len(set(map(depth, value))) <= 1

    def _is_group(self, value: Any) -> bool:
        """Whether a value has one part for each input."""
        if isinstance(value, list):
            depths = zip(map(depth, value), self.ranks, strict=False)
            return (
                len(value) == len(self.specs)
                and all(at in (rank, rank + 1) for at, rank in depths)
                and (len(value) > 1 or depth(value) == self.ranks[0] + 2)
            )
        return isinstance(value, Mapping) or (isinstance(value, tuple) and len(value) == len(self.specs))

    def _by_name(self, value: Mapping[Any, Any]) -> list[Any]:
        missing = [
            spec.name
            for spec in self.specs
            if spec.name not in value and likely.kind(spec) not in likely.CONSTANT
        ]
        if missing or not set(self.names) & set(value):
            raise self.fault(
                f"has no {', '.join(missing or self.names)}; it has {', '.join(map(str, value))}"
            )
        return [value.get(name) for name in self.names]

    def _of_columns(self, value: Mapping[Any, Any]) -> tuple[list[Any], Any]:
        """Return a table's columns of numbers as the only input, if there are as many as the input takes."""
        label = next((key for key in LABELS if key in value), None)
        columns = [np.asarray(plain(one)) for key, one in value.items() if key != label]
        if self.specs[0].shape != (len(columns),) or any(one.ndim > 1 for one in columns):
            names = ", ".join(map(str, value)) or "nothing"
            raise self.fault(f"has no {self.names[0]}; it has {names}")
        return [np.stack(columns, axis=-1)], None if label is None else value[label]

    def _limit(self, value: Any) -> int:
        fit = MAX_BYTES // max(sum(spec.sample_bytes() for spec in self.specs), 1)
        return self.config.samples or max(fit if hasattr(value, "__len__") else min(MAX_SAMPLES, fit), 1)

    def _elements(self, value: Any, limit: int) -> Iterator[Any]:
        """Yield samples or batches until `limit` samples are read; those of a known number evenly spaced."""
        at = 0
        try:
            if hasattr(value, "__getitem__") and hasattr(value, "__len__"):
                total = len(value)
                if total > limit:
                    self._warn(f"{limit:,} of {total:,} samples, evenly spaced")
                for at in _spread(total, min(limit, total)).tolist():
                    yield value[at]
                return
            for at, element in enumerate(itertools.islice(value, limit + 1)):
                if at == limit or self.fitting.read >= limit:
                    self._warn(f"the first {limit:,} samples")
                    return
                yield element
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{self.what} raised {describe(error)} at sample {at}") from error

    def _warn(self, part: str) -> None:
        remedy = "" if self.config.samples else "; `samples` in the suite's dataset sets another number"
        text = f"read {part}{remedy}"
        if self.config.samples:
            self.fitting.note(text)
        elif text not in self.warnings:
            self.warnings.append(text)


def _same_samples(first: Any, second: Any) -> bool:
    """Whether two values have samples of the same shape, as far as that is known."""
    shapes = [value.shape[1:] if hasattr(value, "shape") else None for value in (first, second)]
    return bool(shapes[0] == shapes[1])


def _spread(total: int, count: int) -> Array:
    """Return `count` of the numbers below `total`, evenly spaced."""
    return np.arange(count) * total // max(count, 1)
