"""Calibration data: training items drawn with the Suite's seed, checked, in equal batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.artifacts.tensors import Array, check_arrays
from harness.errors import BuildError
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


def draw_items(context: BuildContext, **counts: int) -> list[Data]:
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
    (data,) = draw_items(context, calibration=config.samples)
    count = len(data)
    size = fixed or largest_divisor(count, config.batch)
    if count < size:
        raise BuildError(f"calibration has {count} items; the graph takes {size} at once")
    names = [spec.name for spec in context.inputs]
    return [
        {n: array[i : i + size] for n, array in zip(names, data.inputs, strict=True)}
        for i in range(0, count - size + 1, size)
    ]


def reader(batches: list[dict[str, Array]]) -> Any:
    """Return an onnxruntime CalibrationDataReader over `batches`."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, Array]] = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.batches, None)

    return Reader()
