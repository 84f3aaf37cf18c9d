"""Calibration data: training items drawn with the Suite's seed, checked, in equal batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.errors import BuildError
from harness.formats.tensors import Array, check_arrays
from harness.techniques.registry import BuildContext, StepConfig
from harness.zoo.registry import Data


class Calibration(StepConfig):
    """How many training items, drawn with the Suite's seed, and how ranges come from them."""

    samples: int = Field(default=512, ge=1, le=100_000)
    batch: int = Field(default=64, ge=1)
    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax",
        description="all values seen; the range that loses least information; all but outliers",
    )
    percentile: float = Field(
        default=99.99,
        gt=50,
        le=100,
        description="method percentile keeps this share of the values; half of the rest is cut at each end",
    )

    @model_validator(mode="after")
    def _only_what_counts(self) -> Calibration:
        if self.method != "percentile" and "percentile" in self.model_fields_set:
            usual = type(self).model_fields["percentile"].default
            if self.percentile != usual:
                raise ValueError(f"percentile: for method percentile, not for {self.method}")
        return self


def draw_samples(context: BuildContext, **counts: int) -> list[Data]:
    """Draw so many training items for each purpose, none of them twice, with their labels.

    The purposes name what is told: Raises BuildError when there are too few items, or when they do not fit
    the model.
    """
    data = context.training_data()
    wanted = sum(counts.values())
    if len(data) < wanted:
        purposes = " and ".join(counts)
        numbers = " + ".join(map(str, counts.values()))
        verb = "wants" if len(counts) == 1 else "want"
        raise BuildError(f"{purposes} {verb} {numbers} items, the training data has {len(data)}")
    if faults := check_arrays(data.inputs, context.inputs, "calibration data"):
        raise BuildError("; ".join(faults))
    order = np.random.default_rng(context.seed).choice(len(data), wanted, replace=False)
    parts = np.split(order, np.cumsum(list(counts.values()))[:-1])
    return [_chosen(data, np.sort(part)) for part in parts]


def _chosen(data: Data, places: Array) -> Data:
    labels = None if data.labels is None else data.labels[places]
    return Data(tuple(array[places] for array in data.inputs), labels)


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of `number` up to `most`: the histogram calibrators want equal batches."""
    return next(d for d in range(min(most, number), 0, -1) if number % d == 0)


def batches(config: Calibration, context: BuildContext, fixed: int | None = None) -> list[dict[str, Array]]:
    """Return the calibration items in equal batches, by input name; `fixed` is the graph's batch.

    Raises BuildError when the items do not fit the model, or do not fill one batch.
    """
    (data,) = draw_samples(context, calibration=config.samples)
    names = [spec.name for spec in context.inputs]
    parts = cut(data, largest_divisor(len(data), config.batch), fixed)
    return [dict(zip(names, part, strict=True)) for part in parts]


def cut(data: Data, size: int, fixed: int | None = None) -> list[list[Array]]:
    """Cut items into batches of `size`, the last perhaps smaller; an array for each input.

    A graph of a `fixed` batch gets whole ones of that. Raises BuildError when the items do not fill one.
    """
    count = len(data)
    if fixed is not None:
        size, count = fixed, count // fixed * fixed
        if not count:
            raise BuildError(f"{len(data)} items do not fill a batch: the graph takes {fixed} at once")
    return [[array[i : i + size] for array in data.inputs] for i in range(0, count, size)]


def reader(batches: list[dict[str, Array]]) -> Any:
    """Return an onnxruntime CalibrationDataReader over `batches`."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, Array]] = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.batches, None)

    return Reader()
